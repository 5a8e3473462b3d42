//! GuardDuty, Security Hub and STS as they look on the wire, on loopback, with what goes wrong there.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode, header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use stockade::base::Timestamp;
use tokio::net::TcpListener;

/// What happens to the next call in place of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 429.
    Throttled,
    /// 500.
    Broken,
    /// The connection ends within the body.
    Truncated,
    /// 403.
    Denied,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    /// GuardDuty's findings as they stand on the wire, with when they changed in milliseconds.
    pub(crate) native: Vec<(i64, Value)>,
    /// Security Hub's.
    pub(crate) asff: Vec<(i64, Value)>,
    /// Security Hub's in OCSF.
    pub(crate) ocsf: Vec<(i64, Value)>,
    /// What Security Hub tells of whoever changed any of its findings.
    pub(crate) history: Vec<Value>,
    /// Of the next calls to a path.
    pub(crate) faults: VecDeque<(&'static str, Fault)>,
    /// Every call: method and path, and the access key that signed it.
    pub(crate) calls: Vec<(String, String)>,
}

/// The server; it goes with this.
pub(crate) struct FakeAws {
    pub(crate) url: String,
    pub(crate) world: Arc<Mutex<World>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for FakeAws {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

type Shared = State<Arc<Mutex<World>>>;

impl FakeAws {
    pub(crate) async fn start() -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let router = Router::new()
            .route("/", post(assume_role))
            .route("/detector", get(list_detectors))
            .route("/detector/{id}/findings", post(list_findings))
            .route("/detector/{id}/findings/get", post(get_findings))
            .route("/detector/{id}/findings/statistics", post(statistics))
            .route("/findings", post(hub_findings))
            .route("/findingHistory/get", post(hub_history))
            .route("/findingsv2", post(hub_findings_v2))
            .with_state(Arc::clone(&world));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, world, serving }
    }

    pub(crate) fn count(&self, call: &str) -> usize {
        self.world.lock().calls.iter().filter(|(made, _)| made == call).count()
    }
}

/// Notes a call, and what goes wrong with it.
fn called(world: &Shared, call: &str, headers: &HeaderMap) -> Option<Response> {
    let mut world = world.0.lock();
    let signed = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = signed.split("Credential=").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    world.calls.push((call.to_owned(), key.to_owned()));
    let (path, fault) = *world.faults.front()?;
    if path != call {
        return None;
    }
    world.faults.pop_front();
    let error = |status: StatusCode, code: &'static str| {
        let headers = [("x-amzn-errortype", code), ("content-type", "application/json")];
        (status, headers, json!({ "message": "so it is" }).to_string()).into_response()
    };
    Some(match fault {
        Fault::Throttled => error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException"),
        Fault::Broken => error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerErrorException"),
        Fault::Denied => error(StatusCode::FORBIDDEN, "AccessDeniedException"),
        Fault::Truncated => ([("content-type", "application/json")], r#"{"findingIds":["a"#).into_response(),
    })
}

fn answer(body: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

async fn assume_role(world: Shared, headers: HeaderMap, body: String) -> Response {
    if let Some(fault) = called(&world, "POST /", &headers) {
        return fault;
    }
    assert!(body.contains("Action=AssumeRole") && body.contains("ExternalId=outside"), "{body}");
    let credentials = "<Credentials><AccessKeyId>ASIAASSUMED</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
         <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>";
    let text = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>{credentials}\
         </AssumeRoleResult></AssumeRoleResponse>"
    );
    ([(header::CONTENT_TYPE, "text/xml")], text).into_response()
}

async fn list_detectors(world: Shared, headers: HeaderMap) -> Response {
    called(&world, "GET /detector", &headers).unwrap_or_else(|| answer(&json!({ "detectorIds": ["d1"] })))
}

/// A page of rows that changed within two times, by offset; a token belongs to the query it was given for.
fn page(rows: &[(i64, Value)], from: i64, to: i64, size: usize, token: Option<&str>) -> (Vec<Value>, Option<String>) {
    let mut rows: Vec<_> = rows.iter().filter(|(at, _)| (from..=to).contains(at)).collect();
    rows.sort_by_key(|(at, _)| *at);
    let query = format!("{from}-{to}");
    let offset = match token {
        None => 0,
        Some(token) => {
            let (of, offset) = token.split_once('#').expect("a token of ours");
            assert_eq!(of, query, "a token was shown with another query");
            offset.parse().unwrap()
        }
    };
    let found: Vec<_> = rows.iter().skip(offset).take(size).map(|(_, row)| row.clone()).collect();
    let end = offset + found.len();
    (found, (end < rows.len()).then(|| format!("{query}#{end}")))
}

async fn list_findings(world: Shared, Path(id): Path<String>, headers: HeaderMap, body: String) -> Response {
    if let Some(fault) = called(&world, "POST /detector/findings", &headers) {
        return fault;
    }
    let asked: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (id.as_str(), &asked["sortCriteria"]),
        ("d1", &json!({ "attributeName": "updatedAt", "orderBy": "ASC" }))
    );
    let changed = &asked["findingCriteria"]["criterion"]["updatedAt"];
    let bound = |name: &str| changed[name].as_i64().unwrap_or_else(|| panic!("{asked}"));
    let size = usize::try_from(asked["maxResults"].as_u64().unwrap()).unwrap();
    assert!(size <= 50);
    let (from, to) = (bound("greaterThanOrEqual"), bound("lessThanOrEqual"));
    let (found, next) = page(&world.0.lock().native, from, to, size, asked["nextToken"].as_str());
    let ids: Vec<_> = found.iter().map(|finding| &finding["id"]).collect();
    answer(&json!({ "findingIds": ids, "nextToken": next.unwrap_or_default() }))
}

async fn get_findings(world: Shared, headers: HeaderMap, body: String) -> Response {
    if let Some(fault) = called(&world, "POST /detector/findings/get", &headers) {
        return fault;
    }
    let asked: Value = serde_json::from_str(&body).unwrap();
    let ids = asked["findingIds"].as_array().unwrap();
    assert!((1..=50).contains(&ids.len()), "{}", ids.len());
    let world = world.0.lock();
    let mut found: Vec<_> = world.native.iter().filter(|(_, finding)| ids.contains(&finding["id"])).collect();
    found.sort_by_key(|(at, _)| *at);
    answer(&json!({ "findings": found.iter().map(|(_, finding)| finding).collect::<Vec<_>>() }))
}

async fn hub_findings(world: Shared, headers: HeaderMap, body: String) -> Response {
    if let Some(fault) = called(&world, "POST /findings", &headers) {
        return fault;
    }
    let asked: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(asked["SortCriteria"], json!([{ "Field": "UpdatedAt", "SortOrder": "asc" }]));
    let size = usize::try_from(asked["MaxResults"].as_u64().unwrap()).unwrap();
    assert!(size <= 100);
    let world = world.0.lock();
    let filters = asked["Filters"].as_object().unwrap();
    let mut rows = world.asff.clone();
    let (mut from, mut to) = (i64::MIN, i64::MAX);
    for (name, wanted) in filters {
        let wanted = wanted.as_array().unwrap();
        assert!((1..=20).contains(&wanted.len()), "{asked}");
        let is = |value: &Value| wanted.iter().any(|one| one["Comparison"] == "EQUALS" && one["Value"] == *value);
        match name.as_str() {
            "UpdatedAt" => (from, to) = (bound(&wanted[0], "Start"), bound(&wanted[0], "End")),
            "Id" => rows.retain(|(_, finding)| is(&finding["Id"])),
            "RecordState" => rows.retain(|(_, finding)| is(&finding["RecordState"])),
            "WorkflowStatus" => rows.retain(|(_, finding)| is(&finding["Workflow"]["Status"])),
            other => panic!("no filter {other}"),
        }
    }
    let (found, next) = page(&rows, from, to, size, asked["NextToken"].as_str());
    answer(&json!({ "Findings": found, "NextToken": next }))
}

/// An end of a window, in milliseconds.
fn bound(filter: &Value, name: &str) -> i64 {
    let text = filter[name].as_str().unwrap_or_else(|| panic!("{filter}"));
    assert!(text.ends_with('Z') && text.len() == 24, "{text}");
    Timestamp::parse(text).unwrap().as_micros() / 1000
}

async fn hub_history(world: Shared, headers: HeaderMap, body: String) -> Response {
    if let Some(fault) = called(&world, "POST /findingHistory/get", &headers) {
        return fault;
    }
    let asked: Value = serde_json::from_str(&body).unwrap();
    let wanted = &asked["FindingIdentifier"];
    let world = world.0.lock();
    let same = |finding: &Value| finding["Id"] == wanted["Id"] && finding["ProductArn"] == wanted["ProductArn"];
    assert!(world.asff.iter().any(|(_, finding)| same(finding)), "{asked}");
    answer(&json!({ "Records": world.history }))
}

async fn hub_findings_v2(world: Shared, headers: HeaderMap, body: String) -> Response {
    if let Some(fault) = called(&world, "POST /findingsv2", &headers) {
        return fault;
    }
    let asked: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(asked["SortCriteria"], json!([{ "Field": "finding_info.modified_time_dt", "SortOrder": "asc" }]));
    let size = usize::try_from(asked["MaxResults"].as_u64().unwrap()).unwrap();
    assert!(size <= 100);
    let world = world.0.lock();
    let filter = &asked["Filters"]["CompositeFilters"][0];
    let mut rows = world.ocsf.clone();
    let (mut from, mut to) = (i64::MIN, i64::MAX);
    if let Some(date) = filter["DateFilters"].get(0) {
        assert_eq!(date["FieldName"], "finding_info.modified_time_dt");
        (from, to) = (bound(&date["Filter"], "Start"), bound(&date["Filter"], "End"));
    } else {
        let wanted = filter["StringFilters"].as_array().unwrap();
        assert!(wanted.len() <= 20 && filter["Operator"] == "OR", "{asked}");
        let is = |field: &str, value: &Value| {
            wanted.iter().any(|one| one["FieldName"] == field && one["Filter"]["Value"] == *value)
        };
        rows.retain(|(_, finding)| {
            is("finding_info.uid", &finding["finding_info"]["uid"]) || is("metadata.uid", &finding["metadata"]["uid"])
        });
    }
    let (found, next) = page(&rows, from, to, size, asked["NextToken"].as_str());
    answer(&json!({ "Findings": found, "NextToken": next }))
}

async fn statistics(world: Shared, headers: HeaderMap, body: String) -> Response {
    if let Some(fault) = called(&world, "POST /detector/findings/statistics", &headers) {
        return fault;
    }
    let asked: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&asked["groupBy"], &asked["maxResults"]), (&json!("SEVERITY"), &json!(100)));
    assert_eq!(asked["findingCriteria"]["criterion"], json!({ "service.archived": { "equals": ["false"] } }));
    let world = world.0.lock();
    let mut groups: Vec<(f64, u64)> = Vec::new();
    for (_, finding) in world.native.iter().filter(|(_, finding)| finding["service"]["archived"] == false) {
        let severity = finding["severity"].as_f64().unwrap();
        match groups.iter_mut().find(|(of, _)| of.total_cmp(&severity).is_eq()) {
            Some((_, count)) => *count += 1,
            None => groups.push((severity, 1)),
        }
    }
    let one = |(severity, count): &(f64, u64)| json!({ "severity": severity, "totalFindings": count });
    let groups: Vec<_> = groups.iter().map(one).collect();
    answer(&json!({ "findingStatistics": { "groupedBySeverity": groups } }))
}
