//! How many events there are, by what they say and over time.

use http::StatusCode;
use serde_json::json;

use super::stage::{Setup, stage, stages};

#[tokio::test]
async fn facets_count_what_the_filter_keeps_most_frequent_first() {
    for stage in stages().await {
        let token = stage.auditor().await;
        stage.record(60).await;
        let path = "/api/v1/audit/events/facets?filter=data.n%3C50&fields=outcome,action,reason,data.n&top=2";
        let (status, body) = stage.get(path, &token).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(
            (&body["events"], &body["complete"], &body["next_cursor"]),
            (&json!(50), &json!(true), &json!(null))
        );
        let values = json!([{ "value": "allowed", "count": 25 }, { "value": "denied", "count": 25 }]);
        assert_eq!(body["facets"][0], json!({ "field": "outcome", "values": values, "others": 0, "missing": 0 }));
        let values = json!([{ "value": "act:0", "count": 10 }, { "value": "act:1", "count": 10 }]);
        assert_eq!(body["facets"][1], json!({ "field": "action", "values": values, "others": 30, "missing": 0 }));
        assert_eq!(body["facets"][2], json!({ "field": "reason", "values": [], "others": 0, "missing": 50 }));
        assert_eq!(body["facets"][3]["others"], 48);
        stage.end().await;
    }
}

#[tokio::test]
async fn a_histogram_has_every_event_in_its_bucket() {
    for stage in stages().await {
        let token = stage.auditor().await;
        stage.record(60).await;
        let within = "since=2027-01-15T08:00:00Z&until=2027-01-15T08:01:00Z&buckets=6";
        let path = format!("/api/v1/audit/events/histogram?{within}&kind=token.issued");
        let (status, body) = stage.get(&path, &token).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(
            (&body["events"], &body["complete"], &body["bucket_seconds"]),
            (&json!(20), &json!(true), &json!(30))
        );
        let buckets = body["buckets"].as_array().unwrap();
        assert_eq!(buckets[0], json!({ "time": "2027-01-15T08:00:00.000000Z", "count": 10 }));
        assert_eq!(buckets[1], json!({ "time": "2027-01-15T08:00:30.000000Z", "count": 10 }));
        let sum: u64 = buckets.iter().map(|bucket| bucket["count"].as_u64().unwrap()).sum();
        assert!(sum == 20 && buckets.len() <= 7, "{body}");
        stage.end().await;
    }
}

#[tokio::test]
async fn a_bad_question_is_a_400_that_names_its_parameter() {
    let stage = stage(Setup::default()).await;
    let token = stage.auditor().await;
    for (path, wrong) in [
        ("facets?fields=knd", "fields"),
        ("facets?fields=time", "fields"),
        ("facets?fields=kind,kind,kind,kind,kind,kind", "fields"),
        ("facets?top=0", "top"),
        ("facets?limit=5", "limit"),
        ("facets?cursor=AAAA", "cursor"),
        ("facets?filter=%28", "filter"),
        ("histogram?buckets=501", "buckets"),
        ("histogram?buckets=0", "buckets"),
        ("histogram?since=x", "since"),
        ("tail?limit=5", "limit"),
        ("tail?filter=%28", "filter"),
        ("export?format=csv", "format"),
        ("export?after=-2", "after"),
    ] {
        let (status, body) = stage.get(&format!("/api/v1/audit/events/{path}"), &token).await;
        assert_eq!(
            (status, &body["errors"][0]["parameter"]),
            (StatusCode::BAD_REQUEST, &json!(wrong)),
            "{path}: {body}"
        );
    }
    stage.end().await;
}
