//! `/api/v1/findings`, decided by the shipped policies.

use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use stockade::findings::SAMPLES;

use super::{bring, native};
use crate::audit::stage::{ISSUER, Stage, stages};

async fn reader(stage: &Stage) -> String {
    stage.token("auditor", ISSUER, "findings:read").await
}

async fn items(stage: &Stage, query: &str, token: &str) -> Vec<Value> {
    let (status, body) = stage.get(&format!("/api/v1/findings{query}"), token).await;
    assert_eq!(status, StatusCode::OK, "{query}: {body}");
    body["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn whoever_has_the_scope_reads_findings_and_nobody_else() {
    for stage in stages().await {
        bring(&stage.test.store, SAMPLES).await;
        let token = reader(&stage).await;
        let all = items(&stage, "", &token).await;
        assert_eq!(all.len(), 4);
        let id = all[0]["finding_id"].as_str().unwrap();
        for path in ["/api/v1/findings", &format!("/api/v1/findings/{id}"), &format!("/api/v1/findings/{id}/raw")] {
            let other = stage.token("other", ISSUER, "audit:read").await;
            let (status, body) = stage.get(path, &other).await;
            assert_eq!(
                (status, &body["type"]),
                (StatusCode::FORBIDDEN, &json!("urn:stockade:problem:insufficient-scope")),
                "{body}"
            );
            let (status, _, _) = stage.send(path, HeaderMap::new()).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
            assert_eq!(stage.get(path, &token).await.0, StatusCode::OK, "{path}");
        }
        stage.until_kind("finding.read", 4).await;
        stage.end().await;
    }
}

#[tokio::test]
async fn a_list_has_the_newest_activity_first_a_page_at_a_time() {
    for stage in stages().await {
        let document: Vec<String> =
            (0..7).map(|n| native(&format!("f{n}"), &format!("2026-11-01T0{}:00:00Z", n % 4), 5.0)).collect();
        bring(&stage.test.store, &document.join("\n")).await;
        let token = reader(&stage).await;
        let (mut seen, mut next) = (Vec::new(), "?limit=3".to_owned());
        loop {
            let (status, body) = stage.get(&format!("/api/v1/findings{next}"), &token).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            seen.extend(body["items"].as_array().unwrap().clone());
            let Some(cursor) = body["next_cursor"].as_str() else { break };
            next = format!("?limit=3&cursor={cursor}");
            let (status, _) = stage.get(&format!("/api/v1/findings?limit=3&state=open&cursor={cursor}"), &token).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "a cursor belongs to its filter");
            let other = stage.token("other", ISSUER, "findings:read").await;
            let (status, body) = stage.get(&format!("/api/v1/findings?limit=3&cursor={cursor}"), &other).await;
            assert_eq!((status, &body["errors"][0]["parameter"]), (StatusCode::BAD_REQUEST, &json!("cursor")));
        }
        let ids: std::collections::BTreeSet<_> = seen.iter().map(|one| one["finding_id"].as_str().unwrap()).collect();
        assert_eq!((seen.len(), ids.len()), (7, 7));
        let times: Vec<_> = seen.iter().map(|one| one["updated_at"].as_str().unwrap()).collect();
        assert!(times.windows(2).all(|pair| pair[0] >= pair[1]), "{times:?}");
        stage.end().await;
    }
}

#[tokio::test]
async fn each_filter_asks_for_what_it_says() {
    for stage in stages().await {
        bring(&stage.test.store, SAMPLES).await;
        bring(&stage.test.store, &native("real", "2026-11-24T00:00:00Z", 9.0)).await;
        let token = reader(&stage).await;
        for (query, count) in [
            ("?sample=false", 1),
            ("?sample=true", 4),
            ("?severity=critical", 1),
            ("?min_severity=high", 3),
            ("?format=asff", 2),
            ("?state=open", 5),
            ("?state=archived", 0),
            ("?account=111122223333", 5),
            ("?region=eu-west-1", 1),
            ("?type=Recon:EC2/Portscan", 1),
            ("?product=aws/securityhub", 1),
            ("?address=198.51.100.23", 1),
            ("?access_key=ASIASAMPLESAMPLE0001", 2),
            ("?principal=AROASAMPLESAMPLE0001&session=demo", 2),
            ("?role=sample-operator&format=guardduty", 1),
            ("?image=registry.example/sample:1", 1),
            ("?resource=arn:aws:s3:::sample-bucket", 1),
            ("?since=2026-11-24T00:00:00Z", 1),
            ("?until=2026-11-20T00:00:00Z", 1),
            ("?filter=severity%3E%3Dhigh+-sample%3Dtrue", 1),
            ("?filter=severity%3Chigh+OR+sample%3Dfalse", 3),
            ("?filter=-region%3Deu-west-1&state=open", 4),
            ("?filter=access_key%3AASIA+OR+address%3D198.51.100.7", 3),
            ("?filter=type%3Aportscan", 1),
            ("?filter=%22A+scan%22", 1),
            ("?filter=title%3A%25", 0),
            ("?filter=-principal:*+session:*", 0),
            ("?filter=revision%3D1+updated_at%3E2026-11-23T00:00:00Z", 1),
        ] {
            assert_eq!(items(&stage, query, &token).await.len(), count, "{}: {query}", stage.test.name);
        }
        let (status, body) = stage.get("/api/v1/findings?severity=5&sate=open", &token).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(body["errors"].as_array().unwrap().len(), 2, "{body}");
        stage.end().await;
    }
}

#[tokio::test]
async fn one_is_shown_with_its_history_and_its_bytes_are_those_that_came() {
    for stage in stages().await {
        let (first, second) = (native("a", "2026-11-01T01:00:00Z", 5.0), native("a", "2026-11-01T02:00:00Z", 8.0));
        bring(&stage.test.store, &first).await;
        bring(&stage.test.store, &second).await;
        let token = reader(&stage).await;
        let id = items(&stage, "", &token).await[0]["finding_id"].as_str().unwrap().to_owned();
        let arn = "arn%3Aaws%3Aguardduty%3Aeu-west-1%3A111122223333%3Adetector%2Fd%2Ffinding%2Fa";
        for name in [id.as_str(), arn] {
            let (status, body) = stage.get(&format!("/api/v1/findings/{name}"), &token).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            assert_eq!((&body["finding_id"], &body["severity"]), (&json!(id), &json!("high")));
            let history: Vec<_> = body["history"].as_array().unwrap().iter().map(|one| &one["revision"]).collect();
            assert_eq!(history, [2, 1]);
        }
        let path = format!("/api/v1/findings/{id}/raw");
        for (query, expected) in [("", &second), ("?revision=2", &second), ("?revision=1", &first)] {
            let (status, headers, bytes) = stage.bytes(&format!("{path}{query}"), &token).await;
            assert_eq!(
                (status, &headers[header::CONTENT_TYPE]),
                (StatusCode::OK, &"application/json".parse().unwrap())
            );
            assert_eq!(bytes, expected.as_bytes(), "{query}");
        }
        for wrong in
            [format!("{path}?revision=3"), "/api/v1/findings/fnd_0".to_owned(), "/api/v1/findings/x/raw".to_owned()]
        {
            assert_eq!(stage.get(&wrong, &token).await.0, StatusCode::NOT_FOUND, "{wrong}");
        }
        stage.end().await;
    }
}
