//! A month of two services that change under the fetcher, break off, repeat themselves and lie, while it dies at any point:
//! at the end it knows what they know. `SEED=n` runs another month.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use stockade::audit_log::sequencer::Sequencer;
use stockade::audit_log::{checkpoint, export, verify};
use stockade::base::{Clock as _, ManualClock, SystemClock, SystemRng, Timestamp};
use stockade::findings::{Answer, Page, Source, SourceError, Sync, Window, normalise};
use stockade::model::{Finding, FindingState, Format, Service};
use stockade::store::findings::{self, Filter, Stored};
use stockade::store::{Store, events};
use stockade::telemetry::Prometheus;

use super::native;
use crate::audit_log::key;
use crate::support::stores::sqlite;

const START: i64 = 1_800_000_000;
const ROUND: u64 = 24 * 3600;
const ROUNDS: usize = 31;

/// Numbers that a seed decides.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    /// Below `end`.
    fn roll(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

/// A service: what it knows, and the moods it is in.
#[derive(Debug)]
struct Fake {
    service: Service,
    clock: Arc<ManualClock>,
    dice: Mutex<Dice>,
    /// By id: when it changed, in milliseconds, and the finding as it stands on the wire.
    findings: Mutex<BTreeMap<String, (i64, String)>>,
    is_calm: Mutex<bool>,
    made: Mutex<usize>,
    lived_until: Mutex<i64>,
}

impl Fake {
    fn new(service: Service, clock: &Arc<ManualClock>, seed: u64) -> Self {
        Self {
            service,
            clock: Arc::clone(clock),
            dice: Mutex::new(Dice(seed)),
            findings: Mutex::default(),
            is_calm: Mutex::new(false),
            made: Mutex::default(),
            lived_until: Mutex::default(),
        }
    }

    fn roll(&self, end: usize) -> usize {
        self.dice.lock().roll(end)
    }

    const fn format(&self) -> Format {
        match self.service {
            Service::GuardDuty => Format::GuardDuty,
            _ => Format::Asff,
        }
    }

    fn written(&self, id: &str, millis: i64, severity: usize, address: usize) -> String {
        let updated = Timestamp::from_micros(millis * 1000).to_string();
        match self.service {
            Service::GuardDuty => {
                let severity = [2.0, 5.0, 8.0][severity % 3];
                native(id, &updated, severity).replace("198.51.100.7", &format!("198.51.100.{address}"))
            }
            _ => json!({
                "ProductArn": "arn:aws:securityhub:eu-west-1::product/aws/securityhub", "Id": id, "UpdatedAt": updated,
                "AwsAccountId": "111122223333", "Types": ["a/b"], "Title": "t", "RecordState": "ACTIVE",
                "Severity": { "Label": (["LOW", "MEDIUM", "HIGH"][severity % 3]) }, "Workflow": { "Status": "NEW" },
                "Resources": [{ "Type": "AwsEc2Instance", "Id": format!("i-{address}") }],
            })
            .to_string(),
        }
    }

    /// What happens between two rounds: findings come, change, are put away and taken out again, and go.
    fn live(&self) {
        let now = self.clock.now().as_micros() / 1000;
        let mut findings = self.findings.lock();
        let since = std::mem::replace(&mut *self.lived_until.lock(), now);
        for _ in 0..32 + self.roll(10) {
            // Some in the same millisecond.
            let at = (now - i64::try_from(self.roll(6) * 1000 * 60 * 50).unwrap()).max(since.min(now));
            let mut made = self.made.lock();
            let id = format!("f{made:05}");
            *made += 1;
            let text = self.written(&id, at, self.roll(3), self.roll(200));
            findings.insert(id, (at, text));
        }
        let ids: Vec<_> = findings.keys().cloned().collect();
        for id in ids {
            let (at, text) = findings[&id].clone();
            match self.roll(60) {
                0 | 1 => {
                    let text = self.written(&id, now, self.roll(3), self.roll(200));
                    findings.insert(id, (now, text));
                }
                // No date moves.
                2..=9 => drop(findings.insert(id, (at, self.put_away(&text, true)))),
                10 => drop(findings.insert(id, (at, self.put_away(&text, false)))),
                11 => drop(findings.remove(&id)),
                _ => {}
            }
        }
    }

    fn put_away(&self, text: &str, away: bool) -> String {
        match self.service {
            Service::GuardDuty => {
                let archived = |is: bool| format!("\"archived\":{is}");
                text.replace(&archived(!away), &archived(away))
            }
            _ => {
                let mut finding: Value = serde_json::from_str(text).unwrap();
                let status = ["NOTIFIED", "NEW", "SUPPRESSED", "RESOLVED"][self.roll(2) + if away { 2 } else { 0 }];
                finding["Workflow"]["Status"] = json!(status);
                finding.to_string()
            }
        }
    }

    fn told(&self, findings: &[String]) -> Vec<u8> {
        let list = if self.service == Service::GuardDuty { "findings" } else { "Findings" };
        let text = format!("{{\"{list}\":[{}]}}", findings.join(","));
        // Cut somewhere.
        let end = if !*self.is_calm.lock() && self.roll(40) == 0 { 1 + self.roll(text.len() - 1) } else { text.len() };
        text.as_bytes()[..end].to_vec()
    }

    /// What goes wrong in place of an answer.
    fn fails(&self) -> Option<SourceError> {
        if *self.is_calm.lock() {
            return None;
        }
        let problem = match self.roll(60) {
            0 | 1 => "TooManyRequestsException: slow down",
            2 => "InternalServerErrorException: it is us",
            3 => "dispatch failure: timeout",
            _ => return None,
        };
        Some(SourceError { source_name: self.name().to_owned(), problem: problem.to_owned() })
    }
}

impl Source for Fake {
    fn name(&self) -> &str {
        self.service.as_str()
    }

    fn service(&self) -> Service {
        self.service
    }

    fn page<'a>(&'a self, window: Window, next: Option<&'a str>) -> Answer<'a, Page> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if let Some(error) = self.fails() {
                return Err(error);
            }
            let (from, to) = (window.from.as_micros() / 1000, window.to.as_micros() / 1000);
            let mut rows: Vec<_> =
                self.findings.lock().values().filter(|(at, _)| (from..=to).contains(at)).cloned().collect();
            rows.sort();
            let offset = match next {
                None => 0,
                Some(token) => {
                    let mut parts = token.split('/');
                    let query = format!("{from}-{to}");
                    if parts.next() != Some(&query) {
                        let problem = "InvalidInputException: the query has changed".to_owned();
                        return Err(SourceError { source_name: self.name().to_owned(), problem });
                    }
                    parts.next().unwrap().parse().unwrap()
                }
            };
            let is_calm = *self.is_calm.lock();
            // Sometimes a page holds nothing and there is more all the same; sometimes it comes again.
            let size = if !is_calm && self.roll(30) == 0 { 0 } else { 10 };
            let page: Vec<_> = rows.iter().skip(offset).take(size).map(|(_, text)| text.clone()).collect();
            let end = if !is_calm && self.roll(30) == 0 { offset } else { offset + page.len() };
            let is_more = end < rows.len();
            // A token is never twice the same.
            let next = is_more.then(|| format!("{from}-{to}/{end}/{}", self.roll(1_000_000)));
            let next = next.or_else(|| (self.roll(2) == 0).then(String::new));
            Ok(Page { answer: self.told(&page), next })
        })
    }

    fn most_again(&self) -> usize {
        50
    }

    fn again<'a>(&'a self, ids: &'a [String]) -> Answer<'a, Page> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if let Some(error) = self.fails() {
                return Err(error);
            }
            let findings = self.findings.lock();
            let known = |id: &String| findings.get(id.rsplit('/').next().unwrap()).map(|(_, text)| text.clone());
            let found: Vec<_> = ids.iter().filter_map(known).collect();
            Ok(Page { answer: self.told(&found), next: None })
        })
    }
}

/// A process that is killed when it has been polled so often.
struct Killed<F> {
    inner: Pin<Box<F>>,
    left: usize,
}

impl<F: Future> Future for Killed<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.inner.as_mut().poll(context).map(Some)
    }
}

/// As a process does it that was just started. Whether it came to its end.
async fn round(store: &Store, clock: &Arc<ManualClock>, source: &Fake) -> bool {
    let sync = Sync {
        store: store.clone(),
        metrics: Arc::new(Prometheus::new().1),
        clock: Arc::clone(clock) as _,
        rng: Arc::new(SystemRng),
        backfill: Duration::from_secs(90 * 86_400),
    };
    let work = async {
        sync.live(source, &mut |_| {}).await?;
        sync.sweep(source, &mut |_| {}).await?;
        sync.further_back(source, &mut |_| {}).await
    };
    let is_calm = *source.is_calm.lock();
    let left = if !is_calm && source.roll(4) == 0 { source.roll(60) } else { usize::MAX };
    match pin!(Killed { inner: Box::pin(work), left }).await {
        None => false,
        Some(done) => {
            assert!(!is_calm || done.is_ok(), "{done:?}");
            done.is_ok()
        }
    }
}

async fn all(store: &Store) -> Vec<Stored> {
    findings::page(&mut store.read().await.unwrap(), &Filter::default(), None, 100_000).await.unwrap()
}

/// Moves the events into the log and verifies it: how many entries it has.
async fn logged(store: &Store) -> u64 {
    let mut sequencer = Sequencer::new(store.clone(), "month".to_owned(), Arc::new(key()));
    sequencer.keep(&SystemClock).await.unwrap();
    while sequencer.move_intake().await.unwrap() > 0 {
        sequencer.keep(&SystemClock).await.unwrap();
    }
    checkpoint::sign_now(store, "localhost/audit", &key(), SystemClock.now()).await.unwrap();
    sequencer.release().await;
    let report = verify::store(store, &key().public()).await.unwrap();
    assert_eq!(report.waiting, 0);
    let mut out = Vec::new();
    export::export(store, "localhost/audit", &key(), &SystemClock, &mut out).await.unwrap();
    let offline = verify::export(std::io::Cursor::new(&out), Some(&key().public())).unwrap();
    assert_eq!(offline.entries, report.entries);
    report.entries
}

fn seed() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the environment of the test run, not of the product")]
    std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_124)
}

#[tokio::test]
async fn after_a_month_of_faults_and_crashes_everything_is_as_aws_has_it() {
    let (test, seed) = (sqlite().await, seed());
    let clock = Arc::new(ManualClock::at(Timestamp::from_secs(START)));
    let fakes = [Fake::new(Service::GuardDuty, &clock, seed | 1), Fake::new(Service::SecurityHub, &clock, seed | 2)];
    let (mut broken, mut whole) = (0, 0);
    for n in 0..ROUNDS {
        for fake in &fakes {
            fake.live();
            if round(&test.store, &clock, fake).await { whole += 1 } else { broken += 1 }
        }
        // Most rounds are regular; a clock now and then stands still or is set back.
        match fakes[0].roll(20) {
            0 => {}
            1 if n > 5 => clock.set(Timestamp::from_secs(clock.now().as_secs() - 120)),
            _ => clock.advance(Duration::from_secs(ROUND)),
        }
    }
    assert!(broken > 5 && whole > 10, "seed {seed}: {broken} rounds broke off, {whole} did not");
    // It gets quiet, until everything has been looked at again.
    for fake in &fakes {
        *fake.is_calm.lock() = true;
    }
    for _ in 0..5 {
        clock.advance(Duration::from_secs(7 * 3600));
        for fake in &fakes {
            assert!(round(&test.store, &clock, fake).await);
        }
    }
    let ours: BTreeMap<_, _> = all(&test.store)
        .await
        .into_iter()
        .map(|one| ((one.finding.format, one.finding.provider_key.clone()), one))
        .collect();
    let (mut there, mut counted) = (BTreeMap::new(), 0);
    for fake in &fakes {
        for (_, text) in fake.findings.lock().values() {
            let finding: Finding = normalise(fake.format(), text.as_bytes());
            there.insert((finding.format, finding.provider_key.clone()), (finding, text.clone()));
        }
        counted += *fake.made.lock();
    }
    assert!(counted > 2000, "thousands of findings: {counted}");
    let mut reader = test.store.read().await.unwrap();
    for (key, (finding, text)) in &there {
        let own = ours.get(key).unwrap_or_else(|| panic!("seed {seed}: {key:?} is not here"));
        assert_eq!(&own.finding, finding, "seed {seed}");
        let (_, raw) = findings::raw(&mut reader, &own.finding_id, own.revision).await.unwrap().unwrap();
        assert_eq!(raw, text.as_bytes(), "seed {seed}: {key:?}");
    }
    let gone = ours.iter().filter(|(key, _)| !there.contains_key(*key));
    let open: Vec<_> = gone.filter(|(_, one)| one.finding.state == FindingState::Open).map(|(key, _)| key).collect();
    assert!(open.is_empty(), "seed {seed}: gone at AWS and open here: {open:?}");
    drop(reader);
    // Each revision is an event, and each change of a state is one.
    let mut revisions = 0;
    for one in ours.values() {
        revisions += usize::try_from(one.revisions).unwrap();
    }
    let waiting = events::waiting_after(&mut test.store.read().await.unwrap(), -1, 100_000).await.unwrap();
    let told: Vec<Value> =
        waiting.iter().map(|one| serde_json::from_slice(one.entry.rest().body.unwrap()).unwrap()).collect();
    assert!(told.len() >= revisions, "seed {seed}: {} events of {revisions} revisions", told.len());
    let last: BTreeMap<_, _> = told.iter().map(|event| (event["data"]["finding_id"].as_str(), event)).collect();
    for own in ours.values() {
        let last = last[&Some(own.finding_id.as_str())];
        assert_eq!(last["data"]["state"], own.finding.state.as_str(), "seed {seed}: {}", own.finding_id);
    }
    let report = logged(&test.store).await;
    assert_eq!(report, u64::try_from(told.len()).unwrap(), "seed {seed}: the audit of the month verifies");
}
