//! Exports of what matches: oldest first, resumable.

use http::{StatusCode, header};
use serde_json::{Value, json};

use super::stage::{ISSUER, Setup, stage, stages};

fn lines(bytes: &[u8]) -> Vec<Value> {
    std::str::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn an_export_has_what_matches_oldest_first_and_goes_on_after_any_line() {
    for stage in stages().await {
        let token = stage.auditor().await;
        stage.record(50).await;
        let path = "/api/v1/audit/events/export?kind=decision&filter=outcome%3Ddenied";
        let (status, headers, bytes) = stage.bytes(path, &token).await;
        assert_eq!(
            (status, &headers[header::CONTENT_TYPE]),
            (StatusCode::OK, &"application/x-ndjson".parse().unwrap())
        );
        let all = lines(&bytes);
        let ns: Vec<u64> = all.iter().map(|line| line["data"]["n"].as_u64().unwrap()).collect();
        assert_eq!(ns, (0..50).filter(|n| n % 3 != 0 && n % 2 == 1).collect::<Vec<u64>>(), "{}", stage.test.name);
        let seq = all[3]["seq"].as_i64().unwrap();
        let (_, _, rest) = stage.bytes(&format!("{path}&after={seq}"), &token).await;
        assert_eq!(lines(&rest), all[4..]);
        let (_, _, ocsf) = stage.bytes(&format!("{path}&format=ocsf&after={seq}"), &token).await;
        let ocsf = lines(&ocsf);
        assert_eq!(ocsf.len(), all.len() - 4);
        assert_eq!((&ocsf[0]["metadata"]["sequence"], &ocsf[0]["class_uid"]), (&all[4]["seq"], &json!(6003)));
        stage.until_kind("audit.read", 3).await;
        stage.end().await;
    }
}

#[tokio::test]
async fn who_may_not_search_may_not_export_what_matches() {
    let stage = stage(Setup::default()).await;
    let token = stage.token("reader", ISSUER, "notes:read").await;
    for path in ["export", "tail", "facets", "histogram"] {
        let (status, _) = stage.get(&format!("/api/v1/audit/events/{path}"), &token).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
    }
    stage.end().await;
}
