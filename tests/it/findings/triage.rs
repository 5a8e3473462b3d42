//! What people make of findings, and what newer revisions make of that.

use std::time::Duration;

use http::{StatusCode, header};
use serde_json::{Value, json};
use stockade::base::{Clock as _, SystemRng};
use stockade::findings::{end_expired, import};
use stockade::model::PrincipalRef;
use stockade::store::Store;
use stockade::store::findings::triage;

use super::{bring, native};
use crate::audit::stage::{ISSUER, Stage, stages};

const EARLY: &str = "2026-11-01T01:00:00Z";
const LATE: &str = "2026-11-01T02:00:00Z";
const ARN: &str = "arn:aws:guardduty:eu-west-1:111122223333:detector/d/finding/";

/// The ids at their provider of those that count.
async fn active(store: &Store) -> Vec<String> {
    let all = triage::active(&mut store.read().await.unwrap(), "", 1000).await.unwrap();
    let mut ids: Vec<_> = all.iter().map(|one| one.finding.provider_id.replace(ARN, "")).collect();
    ids.sort();
    ids
}

struct Work {
    stage: Stage,
    token: String,
    id: String,
}

impl Work {
    /// One finding, `a`, of medium severity, and somebody who works on it.
    async fn begin(stage: Stage) -> Self {
        let (_, came) = bring(&stage.test.store, &native("a", EARLY, 5.0)).await;
        let token = stage.token("reader", ISSUER, "findings:read findings:write").await;
        Self { stage, token, id: came[0].1.finding_id.clone() }
    }

    async fn does(&self, act: &str, body: Value) -> Value {
        let path = format!("/api/v1/findings/{}/{act}", self.id);
        self.stage.clock.advance(Duration::from_secs(1));
        let (status, _, answer) = self.stage.post(&path, &self.token, &body, &[]).await;
        assert_eq!(status, StatusCode::OK, "{act}: {answer}");
        answer
    }

    /// A document comes, a second later.
    async fn comes(&self, document: &str) {
        let (clock, by) = (&self.stage.clock, PrincipalRef::new("Operator", "local"));
        clock.advance(Duration::from_secs(1));
        import(&self.stage.test.store, document.as_bytes(), &by, &**clock, &SystemRng).await.unwrap();
    }

    async fn shown(&self) -> Value {
        self.stage.get(&format!("/api/v1/findings/{}", self.id), &self.token).await.1
    }

    async fn triaged(&self) -> Vec<Value> {
        let events = self.stage.events("finding.triaged").await;
        events.into_iter().map(|event| event["data"].clone()).collect()
    }
}

#[tokio::test]
async fn each_act_is_kept_recorded_once_and_shown_and_doing_it_again_does_nothing() {
    for stage in stages().await {
        let work = Work::begin(stage).await;
        let until = "2027-01-16T08:00:00Z";
        let acked = work.does("acknowledge", json!({ "until": until, "comment": "mine, says Ada" })).await;
        assert_eq!((&acked["triage"]["handling"], &acked["active"]), (&json!("acknowledged"), &json!(true)));
        assert_eq!(acked["triage"]["by"], "Client::\"reader\"");
        work.does("acknowledge", json!({ "until": until })).await;
        assert_eq!(work.does("assign", json!({ "assignee": "ada" })).await["triage"]["assignee"], "ada");
        let up = work.does("escalate", json!({ "to": "the lead" })).await;
        assert_eq!((&up["triage"]["handling"], &up["triage"]["escalated_to"]), (&json!("new"), &json!("the lead")));
        work.does("comment", json!({ "comment": "nothing on the host" })).await;
        let done = work.does("resolve", json!({ "resolution": "benign" })).await;
        assert_eq!((&done["triage"]["handling"], &done["active"]), (&json!("resolved"), &json!(false)));
        assert_eq!(done["state"], "open", "what its provider says is another matter");
        work.does("resolve", json!({ "resolution": "benign" })).await;
        let path = format!("/api/v1/findings/{}/acknowledge", work.id);
        let (status, _, refused) = work.stage.post(&path, &work.token, &json!({}), &[]).await;
        assert_eq!(status, StatusCode::CONFLICT, "{refused}");
        let again = work.does("reopen", json!({})).await;
        assert_eq!((&again["triage"]["assignee"], &again["active"]), (&json!("ada"), &json!(true)));
        work.does("reopen", json!({})).await;

        let shown = work.shown().await;
        let acts: Vec<_> =
            shown["notes"].as_array().unwrap().iter().map(|note| note["act"].as_str().unwrap()).collect();
        let expected = ["reopened", "resolved", "commented", "escalated", "assigned", "acknowledged"];
        assert_eq!(acts, expected, "{}", work.stage.test.name);
        assert_eq!(shown["notes"][5]["text"], "mine, says Ada");
        let told = work.triaged().await;
        let changes: Vec<_> = told.iter().map(|data| data["change"].as_str().unwrap()).rev().collect();
        assert_eq!(changes, expected, "{}", work.stage.test.name);
        let words = ["Ada", "ada", "lead", "host"];
        assert!(told.iter().all(|data| !words.iter().any(|word| data.to_string().contains(word))), "{told:?}");
        work.stage.end().await;
    }
}

#[tokio::test]
async fn whoever_may_only_read_does_nothing_and_mistakes_are_named() {
    for stage in stages().await {
        let work = Work::begin(stage).await;
        let reader = work.stage.token("auditor", ISSUER, "findings:read").await;
        let path = |act: &str| format!("/api/v1/findings/{}/{act}", work.id);
        let (status, _, body) = work.stage.post(&path("reopen"), &reader, &json!({}), &[]).await;
        assert_eq!((status, &body["type"]), (StatusCode::FORBIDDEN, &json!("urn:stockade:problem:insufficient-scope")));
        let (status, _, body) = work.stage.post("/api/v1/suppressions", &work.token, &json!({}), &[]).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
        for (act, body) in [
            ("acknowledge", json!({ "until": "2020-01-01T00:00:00Z" })),
            ("acknowledge", json!({ "until": "2029-01-01T00:00:00Z" })),
            ("acknowledge", json!({ "until": 5 })),
            ("resolve", json!({})),
            ("resolve", json!({ "resolution": "gone" })),
            ("resolve", json!({ "resolution": "fixed", "reason": "x" })),
            ("assign", json!({ "assignee": "\u{1b}[2J" })),
            ("assign", json!({ "assignee": "x".repeat(201) })),
            ("escalate", json!({})),
            ("comment", json!({})),
            ("comment", json!({ "comment": " " })),
        ] {
            let (status, _, answer) = work.stage.post(&path(act), &work.token, &body, &[]).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{act} {body}: {answer}");
        }
        let (status, ..) = work.stage.post("/api/v1/findings/fnd_0/reopen", &work.token, &json!({}), &[]).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(work.triaged().await.is_empty());
        work.stage.end().await;
    }
}

#[tokio::test]
async fn who_names_the_state_they_saw_overwrites_no_other_and_a_key_is_answered_once() {
    for stage in stages().await {
        let work = Work::begin(stage).await;
        let path = format!("/api/v1/findings/{}/assign", work.id);
        let body = json!({ "assignee": "ada" });
        let (_, headers, _) = work.stage.post(&path, &work.token, &body, &[("idempotency-key", "k1")]).await;
        let tag = headers[header::ETAG].to_str().unwrap().to_owned();
        let (_, again, _) = work.stage.post(&path, &work.token, &body, &[("idempotency-key", "k1")]).await;
        assert_eq!(
            (&again["idempotent-replayed"], &again[header::ETAG]),
            (&"true".parse().unwrap(), &headers[header::ETAG])
        );
        let other = json!({ "assignee": "bo" });
        let (status, ..) = work.stage.post(&path, &work.token, &other, &[("if-match", &tag)]).await;
        assert_eq!(status, StatusCode::OK);
        let (status, ..) = work.stage.post(&path, &work.token, &body, &[("if-match", &tag)]).await;
        assert_eq!(status, StatusCode::PRECONDITION_FAILED);
        let (_, _, shown) = (0, 0, work.shown().await);
        assert_eq!(shown["triage"]["assignee"], "bo");
        // What was seen is no longer what its provider says.
        let (_, headers, _) = work.stage.post(&path, &work.token, &other, &[]).await;
        let tag = headers[header::ETAG].to_str().unwrap().to_owned();
        bring(&work.stage.test.store, &native("a", LATE, 5.0)).await;
        let (status, ..) = work.stage.post(&path, &work.token, &body, &[("if-match", &tag)]).await;
        assert_eq!(status, StatusCode::PRECONDITION_FAILED);
        work.stage.end().await;
    }
}

#[tokio::test]
async fn a_worse_revision_undoes_what_people_made_of_it_and_another_does_not() {
    for stage in stages().await {
        let work = Work::begin(stage).await;
        let store = &work.stage.test.store;
        work.does("assign", json!({ "assignee": "ada" })).await;
        work.does("resolve", json!({ "resolution": "fixed" })).await;
        work.comes(&native("a", LATE, 4.0)).await;
        assert!(active(store).await.is_empty(), "{}", work.stage.test.name);
        work.comes(&native("a", "2026-11-01T03:00:00Z", 8.0)).await;
        assert_eq!(active(store).await, ["a"], "{}", work.stage.test.name);
        let shown = work.shown().await;
        assert_eq!(
            (&shown["triage"]["handling"], &shown["triage"]["assignee"], &shown["triage"]["by"]),
            (&json!("new"), &json!("ada"), &Value::Null)
        );
        assert_eq!((&shown["notes"][0]["act"], &shown["notes"][0]["text"]), (&json!("reopened"), &json!("worse")));
        assert_eq!(work.triaged().await.last().unwrap()["why"], "worse");
        work.stage.end().await;
    }
}

fn scans(until: &str) -> Value {
    json!({
        "matching": { "type": "Recon:EC2/*", "account": "111122223333", "max_severity": "high" },
        "owner": "platform", "reason": "our own scanner", "expires_at": until,
    })
}

#[tokio::test]
async fn a_suppression_hides_what_it_says_from_then_on_until_it_ends_and_a_dry_run_only_says_so() {
    for stage in stages().await {
        let work = Work::begin(stage).await;
        let (stage, store) = (&work.stage, &work.stage.test.store);
        let admin = stage.token("other", ISSUER, "admin").await;
        bring(store, &native("b", EARLY, 9.0)).await;
        bring(store, &native("c", EARLY, 5.0).replace("Recon:EC2", "Policy:S3")).await;
        bring(store, &native("d", EARLY, 3.0).replace("\"archived\":false", "\"archived\":true")).await;
        work.does("resolve", json!({ "resolution": "fixed" })).await;
        work.does("reopen", json!({})).await;
        work.does("resolve", json!({ "resolution": "fixed" })).await;
        work.does("comment", json!({ "comment": "it was true" })).await;
        let until = "2027-02-01T00:00:00Z";
        let (status, _, tried) = stage.post("/api/v1/suppressions?dry_run=true", &admin, &scans(until), &[]).await;
        assert_eq!(status, StatusCode::CREATED, "{tried}");
        assert_eq!(tried["hides"], json!({ "findings": 2, "open": 1, "confirmed": 1, "worst": "medium" }));
        assert_eq!(stage.get("/api/v1/suppressions", &admin).await.1["items"], json!([]), "{}", stage.test.name);
        work.does("reopen", json!({})).await;
        assert_eq!(active(store).await, ["a", "b", "c"]);

        let (_, _, made) = stage.post("/api/v1/suppressions", &admin, &scans(until), &[]).await;
        let rule = made["suppression_id"].as_str().unwrap().to_owned();
        assert_eq!((&made["hides"]["findings"], &made["created_by"]), (&json!(2), &json!("Client::\"other\"")));
        assert_eq!(active(store).await, ["b", "c"], "{}: nothing critical is hidden", stage.test.name);
        bring(store, &native("e", EARLY, 8.0)).await;
        assert_eq!(active(store).await, ["b", "c"], "{}: one that comes later is", stage.test.name);
        assert_eq!(work.shown().await["triage"]["suppressed_by"], rule);
        bring(store, &native("e", LATE, 9.5)).await;
        assert_eq!(active(store).await, ["b", "c", "e"], "{}: one that grows worse is not", stage.test.name);

        let clock = &stage.clock;
        assert_eq!(end_expired(store, &**clock, &SystemRng).await.unwrap(), 0);
        clock.advance(Duration::from_secs(30 * 86_400));
        assert_eq!(end_expired(store, &**clock, &SystemRng).await.unwrap(), 1, "{}", clock.now());
        assert_eq!(active(store).await, ["a", "b", "c", "e"], "{}", stage.test.name);
        let told = stage.events("suppression.changed").await;
        let told: Vec<_> = told.iter().map(|e| (&e["data"]["change"], &e["data"]["findings"])).collect();
        assert_eq!(told, [(&json!("created"), &json!(2)), (&json!("expired"), &json!(2))]);
        work.stage.end().await;
    }
}

#[tokio::test]
async fn a_suppression_says_which_findings_who_answers_for_it_why_and_until_when() {
    for stage in stages().await {
        let admin = stage.token("other", ISSUER, "admin").await;
        let good = scans("2027-02-01T00:00:00Z");
        for (pointer, value) in [
            ("/matching", json!({ "account": "111122223333" })),
            ("/matching", json!({ "type": "a", "max_severity": "critical" })),
            ("/matching", json!({ "type": "a", "severity": "low" })),
            ("/owner", json!("")),
            ("/reason", json!(7)),
            ("/expires_at", json!("2026-01-01T00:00:00Z")),
            ("/expires_at", json!("2029-01-01T00:00:00Z")),
        ] {
            let mut body = good.clone();
            *body.pointer_mut(pointer).unwrap() = value;
            let (status, _, answer) = stage.post("/api/v1/suppressions", &admin, &body, &[]).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{pointer}: {answer}");
            assert_eq!(answer["errors"][0]["pointer"], pointer);
        }
        let (_, _, made) = stage.post("/api/v1/suppressions", &admin, &good, &[]).await;
        let end = format!("/api/v1/suppressions/{}/end", made["suppression_id"].as_str().unwrap());
        for _ in 0..2 {
            let (status, _, ended) = stage.post(&end, &admin, &json!({}), &[]).await;
            assert_eq!((status, ended["ended_at"].is_string()), (StatusCode::OK, true));
        }
        assert_eq!(stage.events("suppression.changed").await.len(), 2, "{}", stage.test.name);
        stage.end().await;
    }
}

/// As Security Hub copies a finding of GuardDuty.
fn copy(id: &str) -> String {
    json!({
        "ProductArn": "arn:aws:securityhub:eu-west-1::product/aws/guardduty", "Id": format!("{ARN}{id}"),
        "UpdatedAt": EARLY, "AwsAccountId": "111122223333", "Types": ["TTPs/Recon"], "RecordState": "ACTIVE",
        "Severity": { "Label": "MEDIUM" }, "Title": "A scan", "Workflow": { "Status": "NEW" },
    })
    .to_string()
}

#[tokio::test]
async fn a_case_holds_what_both_services_say_of_one_cause_and_closing_it_closes_both() {
    for stage in stages().await {
        let work = Work::begin(stage).await;
        let (stage, store) = (&work.stage, &work.stage.test.store);
        bring(store, &copy("a")).await;
        bring(store, &native("b", LATE, 8.0)).await;
        let (_, list) = stage.get("/api/v1/cases?limit=1", &work.token).await;
        assert_eq!((&list["items"][0]["severity"], &list["items"][0]["active"]), (&json!("high"), &json!(1)));
        let next = list["next_cursor"].as_str().unwrap();
        let (_, rest) = stage.get(&format!("/api/v1/cases?limit=1&cursor={next}"), &work.token).await;
        assert_eq!((&rest["items"][0]["active"], &rest["next_cursor"]), (&json!(2), &Value::Null), "{rest}");
        let case = rest["items"][0]["case_id"].as_str().unwrap();
        let path = format!("/api/v1/cases/{case}");
        let (_, shown) = stage.get(&path, &work.token).await;
        let formats: Vec<_> = shown["findings"].as_array().unwrap().iter().map(|one| one["format"].clone()).collect();
        assert!(formats.contains(&json!("guardduty")) && formats.contains(&json!("asff")), "{shown}");

        work.does("assign", json!({ "assignee": "ada" })).await;
        let done = json!({ "resolution": "fixed", "comment": "closed together" });
        let (status, _, closed) = stage.post(&format!("{path}/resolve"), &work.token, &done, &[]).await;
        assert_eq!((status, &closed["active"], &closed["severity"]), (StatusCode::OK, &json!(0), &Value::Null));
        assert_eq!(active(store).await, ["b"], "{}", stage.test.name);
        let again = stage.post(&format!("{path}/resolve"), &work.token, &done, &[]).await;
        assert_eq!(again.0, StatusCode::OK);
        assert_eq!(work.triaged().await.len(), 3, "{}: one for each finding, once", stage.test.name);
        assert_eq!(stage.get("/api/v1/cases", &work.token).await.1["items"].as_array().unwrap().len(), 1);
        let (_, _, open) = stage.post(&format!("{path}/reopen"), &work.token, &json!({}), &[]).await;
        assert_eq!(open["active"], 2);
        let (status, ..) = stage.post("/api/v1/cases/case_0/resolve", &work.token, &done, &[]).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        work.stage.end().await;
    }
}
