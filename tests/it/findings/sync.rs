//! Fetching, against a source that changes under it, breaks off, repeats itself and knows no order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use stockade::base::{ManualClock, SystemRng, Timestamp};
use stockade::findings::{Answer, Compared, Page, Source, SourceError, Sync, SyncError, Tally, Window};
use stockade::model::{FindingState, Service};
use stockade::store::findings::{self, Filter, Stored};
use stockade::store::{Store, StoreError};
use stockade::telemetry::Prometheus;

use super::{native, recorded};
use crate::support::stores::stores;

const NOW: i64 = 1_800_000_000;
const MINUTE: i64 = 60_000;

/// A detector in memory. Its tokens are offsets into the answer as it stands when the page is asked for.
#[derive(Debug, Default)]
struct Fake {
    /// When each finding changed, in milliseconds before now.
    findings: Mutex<BTreeMap<String, i64>>,
    asked: Mutex<Vec<(Window, Option<String>)>>,
    page_size: usize,
    /// The page, from 0, that breaks off.
    fails_on: Mutex<Option<usize>>,
    /// Before this page the finding changes, now.
    changes_on: Option<(usize, &'static str)>,
    /// Every page says that this is the next one.
    only_token: Option<&'static str>,
    is_upside_down: bool,
    /// Those that somebody archived: no date tells.
    archived: Mutex<Vec<&'static str>>,
    /// How many it says are open.
    says: Mutex<Option<u64>>,
}

impl Fake {
    fn new(page_size: usize, findings: impl IntoIterator<Item = (String, i64)>) -> Self {
        Self { page_size, findings: Mutex::new(findings.into_iter().collect()), ..Self::default() }
    }

    fn told(&self, id: &str, time: Timestamp) -> String {
        let archived = format!("\"archived\":{}", self.archived.lock().contains(&id));
        native(id, &time.to_string(), 5.0).replace("\"archived\":false", &archived)
    }

    /// One each second up to now.
    fn a_second_apart(count: i64, page_size: usize) -> Self {
        Self::new(page_size, (0..count).map(|n| (format!("f{n:04}"), (count - n) * 1000)))
    }
}

impl Source for Fake {
    fn name(&self) -> &str {
        "guardduty/own/eu-west-1/d"
    }

    fn service(&self) -> Service {
        Service::GuardDuty
    }

    fn page<'a>(&'a self, window: Window, next: Option<&'a str>) -> Answer<'a, Page> {
        let n = self.asked.lock().len();
        self.asked.lock().push((window, next.map(str::to_owned)));
        if self.fails_on.lock().take_if(|page| *page == n).is_some() {
            return Box::pin(std::future::ready(Err(SourceError {
                source_name: self.name().to_owned(),
                problem: "it breaks off".to_owned(),
            })));
        }
        let mut findings = self.findings.lock();
        if let Some((page, id)) = self.changes_on
            && page == n
        {
            // A moment after the window was frozen.
            findings.insert(id.to_owned(), -1);
        }
        let at = |before: i64| Timestamp::from_micros((NOW * 1000 - before) * 1000);
        let mut rows: Vec<_> = findings.iter().map(|(id, before)| (at(*before), id.clone())).collect();
        rows.retain(|(time, _)| *time >= window.from && *time <= window.to);
        rows.sort();
        if self.is_upside_down {
            rows.reverse();
        }
        let offset: usize = next.and_then(|token| token.parse().ok()).unwrap_or(0);
        let page: Vec<_> = rows.iter().skip(offset).take(self.page_size).collect();
        let listed: Vec<_> = page.iter().map(|(time, id)| self.told(id, *time)).collect();
        let end = offset + page.len();
        let next = (end < rows.len()).then(|| self.only_token.map_or_else(|| end.to_string(), str::to_owned));
        let answer = format!(r#"{{"findings":[{}]}}"#, listed.join(",")).into_bytes();
        Box::pin(std::future::ready(Ok(Page { answer, next })))
    }

    fn most_again(&self) -> usize {
        3
    }

    fn again<'a>(&'a self, ids: &'a [String]) -> Answer<'a, Page> {
        assert!(ids.len() <= 3);
        let findings = self.findings.lock();
        let known = |id: &String| {
            let id = id.rsplit('/').next().unwrap();
            let before = findings.get(id)?;
            Some(self.told(id, Timestamp::from_micros((NOW * 1000 - before) * 1000)))
        };
        let listed: Vec<_> = ids.iter().filter_map(known).collect();
        let answer = format!(r#"{{"findings":[{}]}}"#, listed.join(",")).into_bytes();
        Box::pin(std::future::ready(Ok(Page { answer, next: None })))
    }

    fn open(&self) -> Answer<'_, Option<u64>> {
        Box::pin(std::future::ready(Ok(*self.says.lock())))
    }
}

fn at(clock: &Arc<ManualClock>, store: &Store) -> Sync {
    Sync {
        store: store.clone(),
        metrics: Arc::new(Prometheus::new().1),
        clock: Arc::clone(clock) as _,
        rng: Arc::new(SystemRng),
        backfill: Duration::from_secs(90 * 86_400),
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_secs(NOW)))
}

async fn all(store: &Store) -> Vec<Stored> {
    findings::page(&mut store.read().await.unwrap(), &Filter::default(), None, 1000).await.unwrap()
}

async fn live(sync: &Sync, source: &Fake) -> Result<Tally, SyncError> {
    sync.live(source, &mut |_| {}).await
}

#[tokio::test]
async fn everything_comes_once_and_again_nothing_is_new() {
    for test in stores().await {
        let (source, sync) = (Fake::a_second_apart(57, 10), at(&clock(), &test.store));
        let mut pages = Vec::new();
        let tally = sync.live(&source, &mut |page| pages.push(page.read)).await.unwrap();
        assert_eq!((tally.new, all(&test.store).await.len()), (57, 57), "{}", test.name);
        assert!(pages.len() >= 6 && pages.iter().all(|read| *read <= 10), "{pages:?}");
        let tally = live(&sync, &source).await.unwrap();
        assert_eq!((tally.new, tally.changed, tally.late), (0, 0, 0), "{}: {tally:?}", test.name);
        assert_eq!(recorded(&test.store).await.len(), 57, "no event for nothing new");
        assert_eq!(sync.last_ok(source.name()).await.unwrap(), Some(Timestamp::from_secs(NOW)));
    }
}

/// An offset would step over the finding that takes the place of the one that left.
#[tokio::test]
async fn a_finding_that_changes_between_two_pages_costs_no_other_its_place() {
    for test in stores().await {
        let clock = clock();
        let source = Fake { changes_on: Some((1, "f0003")), ..Fake::a_second_apart(40, 10) };
        let sync = at(&clock, &test.store);
        live(&sync, &source).await.unwrap();
        assert_eq!(all(&test.store).await.len(), 40, "{}", test.name);
        clock.advance(Duration::from_secs(60));
        assert_eq!(live(&sync, &source).await.unwrap().changed, 1, "{}: and the change comes too", test.name);
    }
}

#[tokio::test]
async fn what_breaks_off_is_gone_on_with_from_where_its_last_page_ended() {
    for test in stores().await {
        let source = Fake { fails_on: Mutex::new(Some(3)), ..Fake::a_second_apart(57, 10) };
        let clock = clock();
        let broken = live(&at(&clock, &test.store), &source).await.unwrap_err();
        assert!(matches!(broken, SyncError::Source(_)), "{broken}");
        let kept = all(&test.store).await.len();
        assert!((10..57).contains(&kept), "{}: {kept}", test.name);
        // Another process, an hour later: longer than windows overlap.
        clock.advance(Duration::from_secs(3600));
        let asked = source.asked.lock().len();
        let sync = at(&clock, &test.store);
        assert_eq!(live(&sync, &source).await.unwrap().new, 57 - u64::try_from(kept).unwrap(), "{}", test.name);
        let first = source.asked.lock()[asked].clone();
        assert!(first.1.is_none() && first.0.from > source.asked.lock()[0].0.from, "{first:?}");
        assert_eq!(all(&test.store).await.len(), 57);
    }
}

#[tokio::test]
async fn siblings_of_one_millisecond_are_not_lost_at_the_edge_of_a_page() {
    for test in stores().await {
        let same = (0..35).map(|n| (format!("same{n}"), 5 * MINUTE));
        let later = (0..15).map(|n| (format!("later{n}"), MINUTE));
        let (source, sync) = (Fake::new(10, same.chain(later)), at(&clock(), &test.store));
        assert_eq!(live(&sync, &source).await.unwrap().new, 50, "{}", test.name);
    }
}

#[tokio::test]
async fn a_source_without_order_is_read_by_its_tokens() {
    for test in stores().await {
        let source = Fake { is_upside_down: true, ..Fake::a_second_apart(57, 10) };
        let sync = at(&clock(), &test.store);
        assert_eq!(live(&sync, &source).await.unwrap().new, 57, "{}", test.name);
    }
}

#[tokio::test]
async fn a_token_that_leads_nowhere_is_an_error_and_no_loop() {
    for test in stores().await {
        let same = (0..35).map(|n| (format!("same{n}"), 5 * MINUTE));
        let source = Fake { only_token: Some("again"), ..Fake::new(10, same) };
        let sync = at(&clock(), &test.store);
        let error = live(&sync, &source).await.unwrap_err().to_string();
        assert!(error.contains("again and again"), "{}: {error}", test.name);
        assert_eq!(sync.last_ok(source.name()).await.unwrap(), None, "it was not read to its end");
    }
}

#[tokio::test]
async fn the_past_is_read_a_day_at_a_time_and_no_further_than_it_is_kept() {
    const DAY: i64 = 24 * 60 * MINUTE;
    for test in stores().await {
        let ages = [("new", MINUTE), ("day", DAY + MINUTE), ("month", 30 * DAY), ("old", 89 * DAY), ("gone", 95 * DAY)];
        let source = Fake::new(10, ages.map(|(id, age)| (id.to_owned(), age)));
        let sync = at(&clock(), &test.store);
        live(&sync, &source).await.unwrap();
        let (mut days, mut new) = (0, Vec::new());
        while let Some(tally) = sync.further_back(&source, &mut |_| {}).await.unwrap() {
            days += 1;
            if tally.new > 0 {
                new.push(days);
            }
        }
        assert_eq!((days, new), (90, vec![1, 30, 89]), "{}: newest first", test.name);
        assert!(all(&test.store).await.iter().all(|one| !one.finding.provider_id.ends_with("gone")));
        assert_eq!(sync.further_back(&source, &mut |_| {}).await.unwrap(), None);
    }
}

#[tokio::test]
async fn of_two_that_fetch_from_one_source_the_slower_one_writes_nothing() {
    for test in stores().await {
        let now = Timestamp::from_secs(NOW);
        for (version, expected) in [(0, true), (0, false), (1, true), (1, false), (2, true)] {
            let mut tx = test.store.begin().await.unwrap();
            let put = findings::put_source(&mut tx, "s", version, &serde_json::json!({ "n": version }), now).await;
            assert_eq!(put.is_ok(), expected, "{}: version {version}", test.name);
            assert!(expected || matches!(put, Err(StoreError::Fenced)), "{}", test.name);
            if expected {
                tx.commit().await.unwrap();
            }
        }
        let found = findings::source::<serde_json::Value>(&mut test.store.read().await.unwrap(), "s").await.unwrap();
        assert_eq!(found, Some((3, serde_json::json!({ "n": 2 }))), "{}", test.name);
    }
}

#[tokio::test]
async fn what_is_put_away_or_gone_at_aws_is_found_out_without_a_date_that_moves() {
    for test in stores().await {
        let (clock, source) = (clock(), Fake::a_second_apart(10, 10));
        let sync = at(&clock, &test.store);
        live(&sync, &source).await.unwrap();
        source.archived.lock().push("f0002");
        source.findings.lock().remove("f0005");
        assert_eq!(sync.sweep(&source, &mut |_| {}).await.unwrap(), 0, "{}: it was looked at just now", test.name);
        clock.advance(Duration::from_secs(301));
        assert_eq!(sync.sweep(&source, &mut |_| {}).await.unwrap(), 10, "{}", test.name);
        let states = |all: Vec<Stored>| {
            let closed = all.into_iter().filter(|one| one.finding.state != FindingState::Open);
            let mut closed: Vec<_> = closed.map(|one| (one.finding.provider_id, one.finding.state)).collect();
            closed.sort();
            closed.into_iter().map(|(id, state)| (id.rsplit('/').next().unwrap().to_owned(), state)).collect::<Vec<_>>()
        };
        let expected = [("f0002", FindingState::Archived), ("f0005", FindingState::Expired)];
        let expected: Vec<_> = expected.map(|(id, state)| (id.to_owned(), state)).to_vec();
        assert_eq!(states(all(&test.store).await), expected, "{}", test.name);
        let told: Vec<_> = recorded(&test.store).await.split_off(10);
        assert!(told.iter().all(|event| event["data"]["state_before"] == "open"), "{}: {told:?}", test.name);
        let mut told: Vec<_> = told.iter().map(|event| event["data"]["change"].as_str().unwrap()).collect();
        told.sort_unstable();
        assert_eq!(told, ["changed", "expired"], "{}", test.name);
        clock.advance(Duration::from_secs(301));
        assert_eq!(sync.sweep(&source, &mut |_| {}).await.unwrap(), 8, "{}: those that are open", test.name);
        assert_eq!(recorded(&test.store).await.len(), 12, "{}", test.name);
        source.findings.lock().insert("f0005".to_owned(), 5000);
        assert_eq!(live(&sync, &source).await.unwrap().changed, 1, "{}: what is back is open again", test.name);
    }
}

#[tokio::test]
async fn what_is_missing_is_noticed_by_counting_and_read_again_once_a_day() {
    for test in stores().await {
        let (clock, source) = (clock(), Fake::a_second_apart(10, 10));
        let sync = Sync { backfill: Duration::from_secs(2 * 86_400), ..at(&clock, &test.store) };
        live(&sync, &source).await.unwrap();
        *source.says.lock() = Some(10);
        assert_eq!(sync.compare(&source).await.unwrap(), None, "{}: the past is still to be read", test.name);
        while sync.further_back(&source, &mut |_| {}).await.unwrap().is_some() {}
        let same = Compared { theirs: 10, ours: 10 };
        assert_eq!(sync.compare(&source).await.unwrap(), Some(same), "{}", test.name);
        assert_eq!(sync.compare(&source).await.unwrap(), None, "{}: each hour", test.name);
        // One that says it changed yesterday, and came just now.
        clock.advance(Duration::from_secs(3600));
        source.findings.lock().insert("older".to_owned(), 20 * 60 * MINUTE);
        *source.says.lock() = Some(11);
        live(&sync, &source).await.unwrap();
        let missing = Compared { theirs: 11, ours: 10 };
        assert_eq!(sync.compare(&source).await.unwrap(), Some(missing), "{}", test.name);
        assert_eq!(sync.further_back(&source, &mut |_| {}).await.unwrap().unwrap().new, 1, "{}", test.name);
        while sync.further_back(&source, &mut |_| {}).await.unwrap().is_some() {}
        *source.says.lock() = Some(12);
        clock.advance(Duration::from_secs(3600));
        while sync.further_back(&source, &mut |_| {}).await.unwrap().is_some() {}
        assert!(sync.compare(&source).await.unwrap().is_some());
        assert_eq!(sync.further_back(&source, &mut |_| {}).await.unwrap(), None, "{}: once a day", test.name);
    }
}
