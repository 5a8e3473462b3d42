//! Of what a question finds, each event is decided by policy for whoever asked: in lists, counts, the tail and exports.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};
use stockade::policy::{Files, Snapshot, embedded};

use super::stage::{ISSUER, Setup, Stage, stage, stages};
use super::tail::Reader;

/// The shipped policies, with this in the place of the grant of `audit:read`, and one more guard.
pub(crate) fn policies(read: &str, guard: &str) -> std::sync::Arc<Snapshot> {
    let grants = |path: &str, text: &str| match path {
        "grant/audit.cedar" => {
            let (before, rest) = text.split_once("@id(\"audit.read\")").expect("the grant");
            let (_, after) = rest.split_once("};").expect("its end");
            format!("{before}{read}{after}")
        }
        _ => text.to_owned(),
    };
    let files: Vec<(String, String)> =
        embedded().iter().map(|(path, text)| ((*path).to_owned(), grants(path, text))).collect();
    let files = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    let files = Files::new(files.chain([("guard/more.cedar", guard)]));
    Snapshot::from_files(&files).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// `other` sees everything, `auditor` what one client did.
const OF_ONE_CLIENT: &str = r#"
@id("audit.read.all")
permit (principal == Stockade::Client::"other", action == Stockade::Action::"audit:read", resource)
when { context.scopes.contains("audit:read") };
@id("audit.read.one")
permit (principal == Stockade::Client::"auditor", action == Stockade::Action::"audit:read", resource)
when { context.scopes.contains("audit:read") && resource has client && resource.client == "client-1" };
"#;

fn ns<'a>(items: impl IntoIterator<Item = &'a Value>) -> BTreeSet<u64> {
    items
        .into_iter()
        .map(|item| item["data"]["n"].as_u64().unwrap_or_else(|| panic!("not to be seen: {item}")))
        .collect()
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn listed(stage: &Stage, query: &str, token: &str) -> (Vec<Value>, usize) {
    let (mut all, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let (status, body) = stage.get(&format!("/api/v1/audit/events?{query}{cursor}"), token).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        all.extend(body["items"].as_array().unwrap().clone());
        pages += 1;
        match body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (all, pages),
        }
    }
}

#[tokio::test]
async fn an_auditor_of_one_client_sees_exactly_its_events_in_list_facets_tail_and_export() {
    for stage in stages().await {
        stage.engine.install(policies(OF_ONE_CLIENT, ""));
        let auditor = stage.auditor().await;
        let mut tail = Reader::open(&stage, "", &auditor, Some(-1)).await;
        stage.record(40).await;
        let own: BTreeSet<u64> = (0..40).filter(|n| n % 4 == 1).collect();

        let (items, _) = listed(&stage, "limit=500", &auditor).await;
        assert_eq!((ns(&items), items.len()), (own.clone(), own.len()), "{}", stage.test.name);
        // Pages are full, however little of what is read may be seen.
        let (items, pages) = listed(&stage, "limit=3", &auditor).await;
        assert_eq!((ns(&items), pages), (own.clone(), own.len().div_ceil(3)));
        // No condition goes around it, and none tells what is there.
        for query in ["filter=client%3Dclient-2", "principal=client-2", "filter=-client%3Dclient-1", "request_id=req-2"]
        {
            assert_eq!(listed(&stage, query, &auditor).await.0, Vec::<Value>::new(), "{query}");
        }

        let (_, facets) = stage.get("/api/v1/audit/events/facets?fields=client,kind", &auditor).await;
        assert_eq!((&facets["events"], &facets["complete"]), (&json!(own.len()), &json!(true)), "{facets}");
        assert_eq!(facets["facets"][0]["values"], json!([{ "value": "client-1", "count": own.len() }]));
        let path = "/api/v1/audit/events/histogram?since=2027-01-15T08:00:00Z&until=2027-01-15T08:01:00Z";
        let (_, histogram) = stage.get(path, &auditor).await;
        assert_eq!(histogram["events"], json!(own.len()), "{histogram}");

        let seen = tail.events(own.len()).await;
        assert_eq!(ns(seen.iter().map(|(_, data)| data)), own);

        let (status, _, bytes) = stage.bytes("/api/v1/audit/events/export", &auditor).await;
        assert_eq!((status, ns(&lines(&bytes))), (StatusCode::OK, own.clone()));
        let (_, _, bytes) = stage.bytes("/api/v1/audit/events/export?format=ocsf", &auditor).await;
        let exported = lines(&bytes);
        assert_eq!(exported.len(), own.len());
        assert!(exported.iter().all(|event| event["actor"]["app_uid"] == "client-1"), "{exported:?}");

        let other = stage.token("other", ISSUER, "audit:read").await;
        let (items, _) = listed(&stage, "limit=500&filter=data.n:*", &other).await;
        assert_eq!(items.len(), 40);
        drop(tail);
        stage.end().await;
    }
}

#[tokio::test]
async fn what_policies_say_of_rows_narrows_what_is_read_and_what_they_say_otherwise_does_not() {
    let stage = stage(Setup::default()).await;
    let token = stage.auditor().await;
    stage.record(40).await;
    let of = |condition: &str| {
        format!(
            "@id(\"rows\") permit (principal, action == Stockade::Action::\"audit:read\", resource) when {{ {condition} }};"
        )
    };
    for (condition, seen, index) in [
        ("resource.kind == \"decision\"", (|n| n % 3 != 0) as fn(u64) -> bool, "kind"),
        ("[\"token.issued\", \"key.changed\"].contains(resource.kind)", |n| n % 3 == 0, "(kind or kind)"),
        ("resource.outcome == \"denied\" && context.acr >= 0", |n| n % 2 == 1, "outcome"),
        ("!(resource.outcome == \"denied\")", |n| n % 2 == 0, "everything"),
        ("resource has address && resource.address.isInRange(ip(\"192.0.2.0/24\"))", |_| true, "everything"),
        (
            "resource has action && resource.action like \"act:*\" && resource.time > datetime(\"2027-01-15T08:00:30Z\")",
            |n| n > 30,
            "everything",
        ),
        ("if resource has reason then true else resource.kind == \"decision\"", |n| n % 3 != 0, "everything"),
    ] {
        stage.engine.install(policies(&of(condition), ""));
        let path = "/api/v1/audit/events?limit=500&explain=true&filter=data.n:*";
        let (status, body) = stage.get(path, &token).await;
        assert_eq!(status, StatusCode::OK, "{condition}: {body}");
        let expected: BTreeSet<u64> = (0..40).filter(|n| seen(*n)).collect();
        assert_eq!(ns(body["items"].as_array().unwrap()), expected, "{condition}");
        assert_eq!(body["explain"]["index"], index, "{condition}");
    }
    // A forbid holds against every permit, and one row can be named.
    let (_, body) = stage.get("/api/v1/audit/events?limit=500&request_id=req-5", &token).await;
    let id = body["items"][0]["id"].as_str().unwrap().to_owned();
    let guard = format!(
        "@id(\"no\") forbid (principal, action == Stockade::Action::\"audit:read\", resource == Stockade::AuditEvent::\"{id}\");"
    );
    stage.engine.install(policies(&of("true"), &guard));
    let (items, _) = listed(&stage, "filter=data.n:*", &token).await;
    assert_eq!(ns(&items), (0..40).filter(|n| *n != 5).collect());
    stage.end().await;
}

#[tokio::test]
async fn without_a_grant_nothing_is_seen_and_under_older_policies_the_answer_says_so() {
    let stage = stage(Setup::default()).await;
    let token = stage.auditor().await;
    stage.record(5).await;
    stage.engine.install(policies("", ""));
    let (items, _) = listed(&stage, "", &token).await;
    assert_eq!(items, Vec::<Value>::new());
    stage.until_kind("audit.read", 1).await;
    let older: Vec<(String, String)> = embedded()
        .iter()
        .filter(|(path, _)| *path != "tests/platform.test.yaml")
        .map(|(path, text)| {
            (
                (*path).to_owned(),
                text.replace("audit:read\" in [\"audit:any\"]", "audit:reed\" in [\"audit:any\"]")
                    .replace("Action::\"audit:read\"", "Action::\"audit:reed\""),
            )
        })
        .collect();
    let files = Files::new(older.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    stage.engine.install(Snapshot::from_files(&files).unwrap());
    for path in ["", "/facets", "/histogram", "/tail", "/export"] {
        let (status, body) = stage.get(&format!("/api/v1/audit/events{path}"), &token).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}: {body}");
        assert!(body["detail"].as_str().unwrap().contains("`audit:read`"), "{body}");
    }
    stage.end().await;
}
