//! Who may not ask, what they are told, and what is recorded about it.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;
use stockade::store::clients;

use super::stage::{ISSUER, Setup, stage, stages};

const EVENTS: &str = "/api/v1/audit/events";

fn bearer(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[tokio::test]
async fn no_token_a_bad_one_and_two_of_them_are_told_apart() {
    for stage in stages().await {
        let good = format!("Bearer {}", stage.auditor().await);
        let invented = format!("Bearer stk_at_{}", "A".repeat(49));
        for (values, status, challenge) in [
            (&[][..], 401, "Bearer"),
            (&["Basic YTpi"], 401, "Bearer"),
            (&["Bearer nonsense"], 401, r#"Bearer error="invalid_token""#),
            (&[invented.as_str()], 401, r#"Bearer error="invalid_token""#),
            (&["Bearer e30.e30.e30"], 401, r#"Bearer error="invalid_token""#),
            (&[good.as_str(), good.as_str()], 400, r#"Bearer error="invalid_request""#),
        ] {
            for path in [EVENTS, "/api/v1/audit/checkpoint"] {
                let (answered, headers, _) = stage.send(path, bearer(values)).await;
                assert_eq!(
                    (answered.as_u16(), &headers[header::WWW_AUTHENTICATE]),
                    (status, &HeaderValue::from_str(challenge).unwrap()),
                    "{values:?}"
                );
            }
        }
        let token = good.trim_start_matches("Bearer ");
        let (status, _, _) = stage.send(&format!("{EVENTS}?access_token={token}"), bearer(&[])).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "a token in the query string");
        stage.end().await;
    }
}

#[tokio::test]
async fn refusals_of_strangers_are_folded_and_name_no_token() {
    let stage = stage(Setup::default()).await;
    for _ in 0..20 {
        stage.send(EVENTS, bearer(&["Bearer stk_at_secret-of-a-stranger"])).await;
        stage.send(EVENTS, bearer(&[])).await;
    }
    stage.audit.flush().await.unwrap();
    let token = stage.auditor().await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    let refused = loop {
        let refused = stage.items("?kind=auth.refused", &token).await;
        if refused.iter().map(|e| e["count"].as_u64().unwrap_or(1)).sum::<u64>() >= 40 {
            break refused;
        }
        assert!(tokio::time::Instant::now() < deadline, "{refused:?}");
        tokio::task::yield_now().await;
    };
    assert!(refused.len() < 40, "folded: {}", refused.len());
    let reasons: std::collections::BTreeSet<_> = refused.iter().map(|e| e["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), ["invalid_token", "no_token"]);
    assert!(refused.iter().all(|e| !e.to_string().contains("stranger") && e.get("principal").is_none()));
    stage.end().await;
}

#[tokio::test]
async fn a_token_for_somebody_else_is_no_token() {
    let stage = stage(Setup::default()).await;
    let token = stage.token("auditor", "http://localhost:8080/demo", "audit:read").await;
    let (status, body) = stage.get(EVENTS, &token).await;
    assert_eq!((status, &body["type"]), (StatusCode::UNAUTHORIZED, &json!("urn:stockade:problem:invalid-token")));
    stage.end().await;
}

#[tokio::test]
async fn a_token_without_the_scope_is_refused_by_policy_and_that_is_recorded_at_once() {
    for stage in stages().await {
        let token = stage.token("reader", ISSUER, "notes:read").await;
        let (status, headers, body) = stage.send(EVENTS, bearer(&[&format!("Bearer {token}")])).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert_eq!(headers[header::WWW_AUTHENTICATE], r#"Bearer error="insufficient_scope", scope="audit:read""#);
        assert!(body["detail"].as_str().unwrap().contains("audit:read"), "{body}");
        // Recorded before the answer (on PostgreSQL in the intake, which the sequencer empties).
        if stage.test.name != "SQLite" {
            stage.until_kind("decision", 1).await;
        }
        let auditor = stage.auditor().await;
        let denied = stage.items("?outcome=denied&principal=reader", &auditor).await;
        assert_eq!(denied.len(), 1, "{denied:?}");
        assert_eq!((&denied[0]["kind"], &denied[0]["reason"]), (&json!("decision"), &json!("no_permit")));
        assert_eq!(denied[0]["action"], "audit:search");
        assert_eq!(denied[0]["request_id"], headers["x-request-id"].to_str().unwrap());
        assert!(!denied[0].to_string().contains(&token));
        stage.end().await;
    }
}

#[tokio::test]
async fn without_a_snapshot_nobody_may() {
    let stage = stage(Setup { has_policies: false, ..Setup::default() }).await;
    let token = stage.auditor().await;
    let (status, body) = stage.get(EVENTS, &token).await;
    assert_eq!((status, &body["type"]), (StatusCode::FORBIDDEN, &json!("urn:stockade:problem:forbidden")));
    let text = stage.prometheus.render();
    assert!(text.contains("stockade_decisions_total{point=\"management\",result=\"no_snapshot\"} 1\n"), "{text}");
    stage.end().await;
}

#[tokio::test]
async fn a_token_that_died_or_whose_client_did_reads_nothing_more() {
    let stage = stage(Setup::default()).await;
    let token = stage.auditor().await;
    assert_eq!(stage.get(EVENTS, &token).await.0, StatusCode::OK);
    let other = stage.token("other", ISSUER, "audit:read").await;
    assert_eq!(stage.get(EVENTS, &other).await.0, StatusCode::OK);
    let mut disabled = crate::store::client("other");
    disabled.disabled = true;
    let mut tx = stage.test.store.begin().await.unwrap();
    clients::update(&mut tx, &disabled, 1).await.unwrap();
    tx.commit().await.unwrap();
    stage.live.refresh().await.unwrap();
    assert_eq!(stage.get(EVENTS, &other).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.get(EVENTS, &token).await.0, StatusCode::OK);
    stage.clock.advance(std::time::Duration::from_secs(600));
    assert_eq!(stage.get(EVENTS, &token).await.0, StatusCode::UNAUTHORIZED);
    let text = stage.prometheus.render();
    for (result, count) in [("revoked", 1), ("expired", 1), ("valid", 3)] {
        let line = format!("stockade_token_verifications_total{{result=\"{result}\"}} {count}\n");
        assert!(text.contains(&line), "{line} in\n{text}");
    }
    stage.end().await;
}

#[tokio::test]
async fn an_address_over_its_limit_is_slowed_before_its_token_is_looked_at() {
    let stage = stage(Setup { burst: 3, ..Setup::default() }).await;
    let token = stage.auditor().await;
    for _ in 0..3 {
        assert_eq!(stage.get(EVENTS, &token).await.0, StatusCode::OK);
    }
    for values in [&[][..], &["Bearer nonsense"], &[&format!("Bearer {token}")]] {
        let (status, headers, body) = stage.send(EVENTS, bearer(values)).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{values:?}");
        assert_eq!(headers[header::RETRY_AFTER], "60");
        assert_eq!(body["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
        assert!(!headers.contains_key("ratelimit-policy") && !headers.contains_key(header::WWW_AUTHENTICATE));
    }
    stage.clock.advance(std::time::Duration::from_secs(60));
    let fresh = stage.auditor().await;
    assert_eq!(stage.get(EVENTS, &fresh).await.0, StatusCode::OK);
    assert_eq!(stage.get(EVENTS, &fresh).await.0, StatusCode::TOO_MANY_REQUESTS);
    let text = stage.prometheus.render();
    assert!(text.contains("stockade_limit_checks_total{bucket=\"address\",result=\"refused\"} 4\n"), "{text}");
    stage.end().await;
}

#[tokio::test]
async fn a_refusal_that_cannot_be_recorded_is_a_503() {
    let stage = stage(Setup { has_worker: false, ..Setup::default() }).await;
    let token = stage.token("reader", ISSUER, "notes:read").await;
    let (status, body) = stage.get(EVENTS, &token).await;
    assert_eq!((status, &body["type"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("urn:stockade:problem:not-recorded")));
    stage.end().await;
}
