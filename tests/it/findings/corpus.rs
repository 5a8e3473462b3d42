//! Every published sample imports, keeps its bytes, and is read as it says.

use std::path::{Path, PathBuf};

use serde_json::Value;
use stockade::findings::split;
use stockade::model::{Came, EntityKind, Finding, FindingState, Format, Severity};
use stockade::store::findings;

use super::bring;
use crate::support::skip;
use crate::support::stores::{sqlite, stores};

fn corpus() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the environment of the test run, not of the product")]
    let root = std::env::var_os("STOCKADE_CORPORA").map(|root| PathBuf::from(root).join("findings"));
    if root.is_none() {
        skip("STOCKADE_CORPORA does not name the corpora");
    }
    root
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Every file of the three formats.
fn all(root: &Path) -> Vec<PathBuf> {
    ["guardduty", "asff", "ocsf"].iter().flat_map(|dir| files(&root.join(dir))).collect()
}

/// How many findings the collection's own list says that a file has.
fn listed(root: &Path, file: &Path) -> usize {
    let list = std::fs::read_to_string(root.join("SOURCES.md")).unwrap();
    let name = file.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let line = list.lines().find(|line| line.starts_with(&format!("| {name} |"))).unwrap_or_else(|| panic!("{name}"));
    line.split('|').nth(4).unwrap().trim().parse().unwrap()
}

/// A part of the document that holds exactly these bytes, however it is written elsewhere.
fn contains(document: &[u8], part: &[u8]) -> bool {
    document.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn every_sample_imports_keeps_its_bytes_and_a_second_import_changes_nothing() {
    let Some(root) = corpus() else { return };
    let files = all(&root);
    assert!(files.len() >= 90, "{}", files.len());
    for test in stores().await {
        let mut kept = 0;
        for file in &files {
            let document = std::fs::read_to_string(file).unwrap();
            let (tally, came) = bring(&test.store, &document).await;
            assert_eq!(tally.read, u64::try_from(listed(&root, file)).unwrap(), "{}", file.display());
            assert_eq!(came.len(), split(document.as_bytes()).unwrap().len());
            for (became, stored) in &came {
                let revision = if *became == Came::Late { stored.revisions } else { stored.revision };
                let mut reader = test.store.read().await.unwrap();
                let (_, raw) = findings::raw(&mut reader, &stored.finding_id, revision).await.unwrap().unwrap();
                assert!(*became == Came::Known || contains(document.as_bytes(), &raw), "{}", file.display());
                serde_json::from_slice::<Value>(&raw).unwrap();
                kept += 1;
            }
        }
        assert!(kept >= 95, "{kept}");
        let events = super::recorded(&test.store).await.len();
        for file in &files {
            let (tally, _) = bring(&test.store, &std::fs::read_to_string(file).unwrap()).await;
            assert_eq!(tally.known, tally.read, "{}: {}: {tally:?}", test.name, file.display());
        }
        assert_eq!(super::recorded(&test.store).await.len(), events, "{}: no event for nothing new", test.name);
    }
}

#[tokio::test]
async fn every_sample_alone_is_found_by_its_provider_s_id_with_the_bytes_of_the_file() {
    let Some(root) = corpus() else { return };
    let test = sqlite().await;
    for file in all(&root) {
        let document = std::fs::read(&file).unwrap();
        for piece in split(&document).unwrap() {
            let finding = stockade::findings::normalise(piece.format, piece.raw);
            assert_eq!(finding.problem, None, "{}", file.display());
            assert!(finding.updated_at.is_some() && finding.title.is_some(), "{}: {finding:?}", file.display());
            bring(&test.store, std::str::from_utf8(piece.raw).unwrap()).await;
            let mut reader = test.store.read().await.unwrap();
            let found = findings::called(&mut reader, &finding.provider_id).await.unwrap();
            assert!(found.is_some(), "{}: {}", file.display(), finding.provider_id);
        }
    }
}

/// The findings of one file.
fn read(root: &Path, file: &str) -> Vec<Finding> {
    let document = std::fs::read(root.join(file)).unwrap();
    let pieces = split(&document).unwrap();
    pieces.iter().map(|piece| stockade::findings::normalise(piece.format, piece.raw)).collect()
}

fn entities(finding: &Finding, kind: EntityKind) -> Vec<&str> {
    finding.entities.iter().filter(|one| one.kind == kind).map(|one| one.value.as_str()).collect()
}

#[test]
fn guardduty_s_own_is_read_in_every_spelling() {
    let Some(root) = corpus() else { return };
    let [event] = &read(&root, "guardduty/custodian-ec2-duty-event.json")[..] else { panic!("one") };
    assert_eq!((event.format, event.severity, event.state), (Format::GuardDuty, Severity::Medium, FindingState::Open));
    assert_eq!(event.kind.as_deref(), Some("Backdoor:EC2/C&CActivity.B!DNS"));
    assert!(event.sample);
    assert_eq!(entities(event, EntityKind::Resource), ["i-99999999"]);

    let [printed] = &read(&root, "guardduty/alertchain-droppoint-getfindings.json")[..] else { panic!("one") };
    assert!(printed.sample, "as the API writes it, in JSON within JSON");
    assert_eq!(printed.severity, Severity::High);
    assert_eq!(printed.count, Some(1));
    assert_eq!(entities(printed, EntityKind::Address), ["198.51.100.0", "10.0.0.1"]);
    assert_eq!(entities(printed, EntityKind::Domain), ["generatedfindingdomainname"]);
    assert_eq!(entities(printed, EntityKind::Image), ["ami-99999999"]);

    let [critical] = &read(&root, "guardduty/panther-critical-0.json")[..] else { panic!("one") };
    assert_eq!(critical.severity, Severity::Critical);
    assert_eq!(critical.updated_at.map(|t| t.to_string()).as_deref(), Some("2025-02-25T20:40:06.721000Z"));
}

#[test]
fn security_hub_s_is_read_with_and_without_what_came_later() {
    let Some(root) = corpus() else { return };
    let [old] = &read(&root, "asff/custodian-event-securityhub-iamkey-finding-action.json")[..] else { panic!("one") };
    assert_eq!((old.format, old.severity, old.state), (Format::Asff, Severity::Medium, FindingState::Open));
    assert_eq!(old.workflow.as_deref(), Some("NEW"), "from the name it had before");
    assert_eq!(old.product.as_deref(), Some("aws/guardduty"));
    assert_eq!(old.correlation_key, old.provider_id, "the ARN of GuardDuty's own");
    assert_eq!(entities(old, EntityKind::User), ["kapil"]);
    assert_eq!(entities(old, EntityKind::AccessKey), Vec::<&str>::new(), "`null` is no key");
    assert_eq!(entities(old, EntityKind::Address), ["208.115.85.104"]);

    let [flat] = &read(&root, "asff/awsdocs-guardduty-typical-finding.json")[..] else { panic!("one") };
    assert_eq!(flat.count, Some(74));
    assert!(entities(flat, EntityKind::Address).contains(&"199.241.229.197"), "{flat:?}");

    let [control] = &read(&root, "asff/asr/source__layer__test__test_json_data__CIS-1.3.json")[..] else {
        panic!("one")
    };
    assert_eq!(control.control_id.as_deref(), Some("1.3"));
}

#[test]
fn ocsf_findings_without_ids_are_told_apart_by_their_content() {
    let Some(root) = corpus() else { return };
    let findings = read(&root, "ocsf/prowler-example_output_aws.ocsf.json");
    let keys: std::collections::BTreeSet<_> = findings.iter().map(|finding| &finding.provider_key).collect();
    assert_eq!((findings.len(), keys.len()), (5, 5), "`<finding_uid>` is no id");
    assert!(findings.iter().all(|f| f.format == Format::Ocsf && f.product.as_deref() == Some("prowler")));
    assert_eq!(findings[0].severity, Severity::Low);
    assert_eq!(findings[0].control_id.as_deref(), Some("accessanalyzer_enabled"));
    assert_eq!(findings[0].created_at.map(|t| t.to_string()).as_deref(), Some("2025-02-14T14:27:03.913874Z"));
}
