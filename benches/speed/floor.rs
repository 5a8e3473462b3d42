//! The floors: bare axum handlers that do the least a promise could be measured against.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, ParsedPublicKey,
};
use axum::extract::{Json, State};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request, RestrictedExpression,
};
use serde::{Deserialize, Serialize};
use stockade::base::{Clock as _, SystemClock, SystemRng};
use stockade::http::Edge;
use stockade::http::edge::Settings;
use stockade::policy::{Facts, Principal, Question, Resource, Snapshot};
use stockade::telemetry::{Prometheus, logs};
use tokio::net::TcpListener;

use crate::policies;

/// Header and claims of an access token, as long as they are in practice.
const MESSAGE: &[u8] = &[b'e'; 420];

struct Floor {
    key: EcdsaKeyPair,
    public: ParsedPublicKey,
    signature: Vec<u8>,
    random: SystemRandom,
    snapshot: Arc<Snapshot>,
    principal: Principal,
    resource: Resource,
    /// Sets of 100 and of 1,000 policies.
    scans: [Scan; 2],
}

/// A question that is ready but for asking, and a set that is asked whole.
struct Scan {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
    request: Request,
}

/// An AuthZEN evaluation request, as far as the shape goes.
#[derive(Deserialize, Serialize)]
struct Evaluation {
    subject: Node,
    action: Action,
    resource: Node,
    #[serde(default)]
    context: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize, Serialize)]
struct Node {
    r#type: String,
    id: String,
    #[serde(default)]
    properties: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize, Serialize)]
struct Action {
    name: String,
}

/// Serves them until the process is ended.
pub(crate) fn serve(address: &str) {
    let rng = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).expect("a key");
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).expect("a key");
    let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key()).expect("a public key");
    let signature = key.sign(&rng, MESSAGE).expect("a signature").as_ref().to_vec();
    let roles = ["r0".to_owned(), "staff".to_owned(), "everyone".to_owned()];
    let floor = Arc::new(Floor {
        key,
        public,
        signature,
        random: rng,
        snapshot: Snapshot::embedded().expect("the shipped policies"),
        principal: Principal::user("ada", &roles, false),
        resource: Resource::route("GET", "/demo/notes", "demo", "demo"),
        scans: [scan(100), scan(1000)],
    });
    let app = axum::Router::new()
        .route("/hello", get(async || "hello"))
        .route("/sign", get(sign))
        .route("/verify", get(verify))
        .route("/scan/100", post(async |State(floor): State<Arc<Floor>>, body| ask(&floor.scans[0], body)))
        .route("/scan/1000", post(async |State(floor): State<Arc<Floor>>, body| ask(&floor.scans[1], body)))
        .with_state(floor);
    run(address, async move |listener| axum::serve(listener, app).await);
}

/// Hello behind Stockade's own outer layers, with its metrics and its log lines.
pub(crate) fn serve_behind_layers(address: &str) {
    let _logs = logs::init(logs::Format::Json, "info").expect("a log");
    let (prometheus, metrics) = Prometheus::new();
    let edge = Edge::new(Settings::default(), Arc::new(metrics), Arc::new(SystemClock), Arc::new(SystemRng));
    let app = edge.wrap(axum::Router::new().route("/hello", get(async || "hello")));
    run(address, async move |listener| {
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1));
            loop {
                tick.tick().await;
                prometheus.upkeep();
            }
        });
        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
    });
}

fn run<F: Future<Output = std::io::Result<()>>>(address: &str, serve: impl FnOnce(TcpListener) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.expect("the port");
        serve(listener).await.expect("it serves");
    });
}

/// Hello, and one bare ES256 signature over what a token says.
async fn sign(State(floor): State<Arc<Floor>>) -> String {
    let signature = floor.key.sign(&floor.random, MESSAGE).expect("a signature");
    URL_SAFE_NO_PAD.encode(signature.as_ref())
}

/// Hello, one bare ES256 verification, and one decision by the shipped policies.
async fn verify(State(floor): State<Arc<Floor>>) -> &'static str {
    floor.public.verify_sig(MESSAGE, &floor.signature).expect("it verifies");
    // Scopes that no request had before: the decision is worked out each time.
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let scopes = format!("notes:read n{}", ASKED.fetch_add(1, Ordering::Relaxed));
    let facts = Facts::at(SystemClock.now()).scopes(&scopes);
    let question =
        Question { principal: &floor.principal, action: "notes:list", resource: &floor.resource, facts: &facts };
    assert!(floor.snapshot.decide(&question).is_allowed(), "the shipped policies let readers read");
    "hello"
}

/// Echoes the question, and asks Cedar's own authorizer about every policy of the set.
fn ask(scan: &Scan, Json(question): Json<Evaluation>) -> Json<serde_json::Value> {
    let response = scan.authorizer.is_authorized(&scan.request, &scan.policies, &scan.entities);
    assert_eq!(response.decision(), Decision::Allow);
    Json(serde_json::json!({ "decision": true, "context": { "echo": question } }))
}

fn scan(count: usize) -> Scan {
    let text: String = policies::files(count).into_iter().map(|(_, text)| text).collect();
    let uid = |text: &str| text.parse::<EntityUid>().expect("an entity");
    let (principal, resource) = (uid("Stockade::User::\"ada\""), uid("Stockade::Route::\"GET /demo/notes\""));
    let text_of = |value: &str| RestrictedExpression::new_string(value.to_owned());
    let class = [("class".to_owned(), text_of("demo"))].into_iter().collect();
    let entities = [
        Entity::new(principal.clone(), Default::default(), [uid("Stockade::Role::\"r0\"")].into()).expect("an entity"),
        Entity::new(resource.clone(), class, [uid("Stockade::Api::\"a0\"")].into()).expect("an entity"),
        Entity::with_uid(uid("Stockade::Role::\"r0\"")),
        Entity::with_uid(uid("Stockade::Api::\"a0\"")),
    ];
    let long = RestrictedExpression::new_long;
    let risk =
        RestrictedExpression::new_record([("level".to_owned(), long(0)), ("feedAgeSeconds".to_owned(), long(0))]);
    let context = [
        ("acr".to_owned(), long(0)),
        ("authAgeSeconds".to_owned(), long(0)),
        ("risk".to_owned(), risk.expect("a record")),
    ];
    let context = Context::from_pairs(context).expect("a context");
    Scan {
        authorizer: Authorizer::new(),
        policies: text.parse().expect("policies"),
        entities: Entities::from_entities(entities, None).expect("entities"),
        request: Request::new(principal, uid("Notes::Action::\"notes:list\""), resource, context, None)
            .expect("a request"),
    }
}
