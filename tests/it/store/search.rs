//! A search with any filter gives what reading everything gives, and reads little of it, on both databases.

use stockade::base::{SystemRng, Timestamp};
use stockade::model::filter::parse;
use stockade::model::{Event, Outcome, PrincipalRef, event::kind};
use stockade::store::log::{self, Filter, Numbered, Order, SEGMENT, Walk};
use stockade::store::row::EventRow;
use stockade::store::{Conn, Handle as _, Store};

use crate::audit_log::tamper::many;
use crate::support::stores::stores;

const START: i64 = 1_800_000_000_000_000;
const ENTRIES: i64 = 10_000;

/// Mostly one kind, one action, one resource; every three-thousandth is another. Times go back and forth a little.
fn event(n: i64) -> Event {
    let (rare, failed) = (n % 3000 == 7, n % 3000 == 8);
    let outcome = if rare {
        Outcome::Denied
    } else if failed {
        Outcome::Failed
    } else {
        Outcome::Allowed
    };
    let time = Timestamp::from_micros(START + n * 1000 + (n % 7) * 5000);
    let mut event = Event::new(if rare { kind::KEY_CHANGED } else { kind::DECISION }, outcome, time, &SystemRng);
    event.principal = Some(if rare { PrincipalRef::new("User", "ada") } else { PrincipalRef::new("Client", "app") });
    event.action = Some(if rare { "key:rotate" } else { "notes:read" }.into());
    event.resource = (n % 5 != 0).then(|| if rare { "Key::\"k\"" } else { "Route::\"GET /a\"" }.into());
    event.request_id = Some(format!("req_{n}").into());
    event.with("n", n).with("owner", if rare { "Grace Hopper" } else { "nobody" })
}

async fn everything(store: &Store) -> Vec<Numbered> {
    let mut all = log::after(&mut store.read_log().await.expect("read"), -1, i64::MAX).await.expect("all");
    all.reverse();
    all
}

fn read(text: &str) -> Filter {
    parse(text, Timestamp::from_micros(START + 10_000_000)).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn filters() -> Vec<Filter> {
    let at = |n: i64| Timestamp::from_micros(START + n * 1000);
    let all = [
        "".to_owned(),
        "kind = key.changed".to_owned(),
        "outcome = denied".to_owned(),
        "outcome = failed".to_owned(),
        "outcome = allowed action = notes:read".to_owned(),
        "principal = User::ada".to_owned(),
        "principal = User::ada outcome = failed".to_owned(),
        "action = key:rotate".to_owned(),
        "resource = Key::\"k\"".to_owned(),
        "request_id = req_4711".to_owned(),
        "request_id = req_9999 kind = decision".to_owned(),
        "request_id = req_0 kind = key.changed".to_owned(),
        "principal = nobody".to_owned(),
        "kind = key.changed OR outcome = failed".to_owned(),
        "-kind = decision".to_owned(),
        "-resource:*".to_owned(),
        "-(kind = decision OR outcome = denied)".to_owned(),
        "(principal = User::ada AND outcome = denied) OR request_id = req_5000 OR request_id = req_9000".to_owned(),
        "ada".to_owned(),
        "\"key rotate\" -failed".to_owned(),
        "seq > 100 seq <= 103".to_owned(),
        "client = app outcome = failed".to_owned(),
        "data.n = 7 OR data.n > 9998".to_owned(),
        "data.owner = \"Grace Hopper\"".to_owned(),
        format!("time >= {} time < {}", at(2000), at(2030)),
        format!("time >= {} time < {} kind = key.changed", at(2000), at(8000)),
        format!("time < {}", at(5)),
        format!("(time > {} AND kind = key.changed) OR time < {}", at(9000), at(3)),
        "time >= -10s time < -5s outcome = failed".to_owned(),
        format!("time >= {}", at(20_000)),
    ];
    all.iter().map(|text| read(text)).collect()
}

/// What each filter means, by reading everything.
fn naive(filter: &Filter, all: &[Numbered]) -> Vec<Numbered> {
    let holds = |it: &&Numbered| filter.holds(&EventRow::of(it.seq, &it.entry));
    all.iter().filter(holds).cloned().collect()
}

#[tokio::test]
async fn every_page_of_every_filter_is_what_reading_everything_gives() {
    for test in stores().await {
        many(&test.store, (0..ENTRIES).map(event)).await;
        let all = everything(&test.store).await;
        assert!(all.len() >= ENTRIES as usize, "{}: {}", test.name, all.len());
        let mut reader = test.store.read_log().await.expect("read");
        for filter in filters() {
            let want = naive(&filter, &all);
            for before in [None, Some(0), Some(1), Some(SEGMENT), Some(SEGMENT + 1), Some(8193), Some(ENTRIES)] {
                let below = |it: &&Numbered| before.is_none_or(|before| it.seq < before);
                let want: Vec<_> = want.iter().filter(below).take(50).cloned().collect();
                let found = log::page(&mut reader, &filter, before, 50).await.expect("a page");
                assert_eq!(found, want, "{}: {filter} before {before:?}", test.name);
            }
            for after in [-1, 0, SEGMENT - 1, SEGMENT, 8191, 9000, ENTRIES] {
                let mut want: Vec<_> = want.iter().filter(|it| it.seq > after).cloned().collect();
                want.reverse();
                want.truncate(50);
                let walk = Walk { filter: &filter, within: None, order: Order::After(after), most: u64::MAX };
                let found = log::pages(&mut reader, &walk, 50, |_| true).await.expect("a page");
                assert_eq!(found.items, want, "{}: {filter} after {after}", test.name);
            }
        }
        // Page after page, nothing is left out and nothing comes twice.
        let (filter, mut before, mut read) = (&filters()[4], None, Vec::new());
        loop {
            let page = log::page(&mut reader, filter, before, 500).await.expect("a page");
            let Some(last) = page.last() else { break };
            before = Some(last.seq);
            read.extend(page);
        }
        assert_eq!(read, naive(filter, &all), "{}", test.name);
    }
}

/// What a search reads is told by what it does not stumble over.
#[tokio::test]
async fn a_search_opens_only_the_blocks_that_the_index_names() {
    for test in stores().await {
        many(&test.store, (0..ENTRIES).map(event)).await;
        let mut tx = test.store.begin_log().await.expect("begin");
        // Every indexed block but those of 7 and 3007.
        let text = "update log_blocks set entries = leaves where first_seq < 8192
                    and not (first_seq <= 7 and first_seq + count > 7)
                    and not (first_seq <= 3007 and first_seq + count > 3007)";
        let changed = match tx.conn() {
            Conn::Sqlite(conn) => sqlx::query(text).execute(conn).await.expect("damaged").rows_affected(),
            Conn::Postgres(conn) => sqlx::query(text).execute(conn).await.expect("damaged").rows_affected(),
        };
        assert!(changed > 30, "{}: {changed}", test.name);
        tx.commit().await.expect("commit");
        let mut reader = test.store.read_log().await.expect("read");
        for (filter, before, found) in [
            (read("request_id = req_7"), None, &[7][..]),
            (read("kind = key.changed"), Some(6000), &[3007, 7]),
            (read("(kind = key.changed OR outcome = denied) -outcome = failed"), Some(6000), &[3007, 7]),
        ] {
            let page = log::page(&mut reader, &filter, before, 50).await.expect("a page");
            assert_eq!(page.iter().map(|it| it.seq).collect::<Vec<_>>(), found, "{}", test.name);
        }
        let all = log::page(&mut reader, &Filter::default(), Some(6000), 50).await;
        assert!(all.is_err(), "{}: a damaged block is no empty one", test.name);
    }
}

/// However little a turn may read, the turns together give everything, once.
#[tokio::test]
async fn a_search_that_may_read_little_goes_on_where_it_stopped() {
    for test in stores().await {
        many(&test.store, (0..ENTRIES).map(event)).await;
        let all = everything(&test.store).await;
        let mut reader = test.store.read_log().await.expect("read");
        for text in ["", "kind = key.changed", "-outcome = allowed", "ada", "principal = nobody"] {
            let filter = read(text);
            for is_backward in [true, false] {
                let (mut got, mut turns) = (Vec::new(), 0);
                let mut order = if is_backward { Order::Before(i64::MAX) } else { Order::After(-1) };
                loop {
                    let walk = Walk { filter: &filter, within: None, order, most: 500 };
                    let found = log::pages(&mut reader, &walk, 300, |_| true).await.expect("a page");
                    assert!(found.work.read <= 500 + 128 && found.items.len() <= 300, "{}: {text}", test.name);
                    got.extend(found.items);
                    turns += 1;
                    let Some(next) = found.next else { break };
                    order = if is_backward { Order::Before(next) } else { Order::After(next) };
                }
                if !is_backward {
                    got.reverse();
                }
                assert_eq!(got, naive(&filter, &all), "{}: {text}, backward: {is_backward}", test.name);
                assert!(turns > 1 || text == "kind = key.changed" || text == "principal = nobody", "{text}: {turns}");
            }
        }
    }
}

/// Conditions joined at random, the same each time.
fn random(state: &mut u64, depth: u32) -> String {
    const LEAVES: [&str; 14] = [
        "kind = key.changed",
        "kind = decision",
        "outcome = denied",
        "outcome = failed",
        "outcome = allowed",
        "principal = User::ada",
        "client = app",
        "action = notes:read",
        "resource:key",
        "resource:*",
        "ada",
        "data.n < 3000",
        "request_id = req_3007",
        "time < 2027-01-15T08:00:05Z",
    ];
    let mut next = |below: u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) % below
    };
    let (choice, leaf) = (next(if depth == 0 { 1 } else { 4 }), next(14));
    match choice {
        0 => LEAVES[usize::try_from(leaf).expect("small")].to_owned(),
        1 => format!("-({})", random(state, depth - 1)),
        2 => format!("({}) AND ({})", random(state, depth - 1), random(state, depth - 1)),
        _ => format!("({}) OR ({})", random(state, depth - 1), random(state, depth - 1)),
    }
}

#[tokio::test]
async fn the_index_answers_any_tree_as_reading_everything_does() {
    for test in stores().await {
        many(&test.store, (0..ENTRIES).map(event)).await;
        let all = everything(&test.store).await;
        let (mut reader, mut state) = (test.store.read_log().await.expect("read"), 42);
        for _ in 0..60 {
            let text = random(&mut state, 3);
            let filter = read(&text);
            let want: Vec<_> = naive(&filter, &all).into_iter().take(40).collect();
            let found = log::page(&mut reader, &filter, None, 40).await.expect("a page");
            assert_eq!(found, want, "{}: {text}", test.name);
        }
    }
}
