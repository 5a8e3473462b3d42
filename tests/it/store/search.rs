//! A search with any filter gives what reading everything gives, and reads little of it, on both databases.

use stockade::base::{SystemRng, Timestamp};
use stockade::model::{Event, Outcome, PrincipalRef, event::kind};
use stockade::store::log::{self, Filter, Numbered, SEGMENT};
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
    event
}

async fn everything(store: &Store) -> Vec<Numbered> {
    let mut all = log::after(&mut store.read_log().await.expect("read"), -1, i64::MAX).await.expect("all");
    all.reverse();
    all
}

fn filters() -> Vec<Filter> {
    let text = |text: &str| Some(text.to_owned());
    let at = |n: i64| Some(Timestamp::from_micros(START + n * 1000));
    let none = Filter::default;
    vec![
        none(),
        Filter { kind: text("key.changed"), ..none() },
        Filter { outcome: text("denied"), ..none() },
        Filter { outcome: text("failed"), ..none() },
        Filter { outcome: text("allowed"), action: text("notes:read"), ..none() },
        Filter { principal: text("User::\"ada\""), ..none() },
        Filter { principal: text("User::\"ada\""), outcome: text("failed"), ..none() },
        Filter { action: text("key:rotate"), ..none() },
        Filter { resource: text("Key::\"k\""), ..none() },
        Filter { request_id: text("req_4711"), ..none() },
        Filter { request_id: text("req_9999"), kind: text("decision"), ..none() },
        Filter { request_id: text("req_0"), kind: text("key.changed"), ..none() },
        Filter { principal: text("Client::\"nobody\""), ..none() },
        Filter { since: at(2000), until: at(2030), ..none() },
        Filter { since: at(2000), until: at(8000), kind: text("key.changed"), ..none() },
        Filter { until: at(5), ..none() },
        Filter { since: at(9990), ..none() },
        Filter { since: at(20_000), ..none() },
    ]
}

#[tokio::test]
async fn every_page_of_every_filter_is_what_reading_everything_gives() {
    for test in stores().await {
        many(&test.store, (0..ENTRIES).map(event)).await;
        let all = everything(&test.store).await;
        assert!(all.len() >= ENTRIES as usize, "{}: {}", test.name, all.len());
        let mut reader = test.store.read_log().await.expect("read");
        for filter in filters() {
            let want: Vec<_> = all.iter().filter(|it| filter.matches(&it.entry)).cloned().collect();
            for before in [None, Some(0), Some(1), Some(SEGMENT), Some(SEGMENT + 1), Some(8193), Some(ENTRIES)] {
                let below = |it: &&Numbered| before.is_none_or(|before| it.seq < before);
                let want: Vec<_> = want.iter().filter(below).take(50).cloned().collect();
                let found = log::page(&mut reader, &filter, before, 50).await.expect("a page");
                assert_eq!(found, want, "{}: {filter:?} before {before:?}", test.name);
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
        assert!(read.iter().eq(all.iter().filter(|it| filter.matches(&it.entry))), "{}", test.name);
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
            (Filter { request_id: Some("req_7".to_owned()), ..Filter::default() }, None, &[7][..]),
            (Filter { kind: Some("key.changed".to_owned()), ..Filter::default() }, Some(6000), &[3007, 7]),
        ] {
            let page = log::page(&mut reader, &filter, before, 50).await.expect("a page");
            assert_eq!(page.iter().map(|it| it.seq).collect::<Vec<_>>(), found, "{}", test.name);
        }
        let all = log::page(&mut reader, &Filter::default(), Some(6000), 50).await;
        assert!(all.is_err(), "{}: a damaged block is no empty one", test.name);
    }
}
