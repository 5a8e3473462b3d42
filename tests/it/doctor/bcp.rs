//! RFC 9700: the default is green, and each thing that is wrong turns its own line red and no other.

use std::time::Duration;

use serde_json::{Value, json};
use stockade::base::Timestamp;
use stockade::config::{Config, IssuerKeys, ResourceServer, TlsFiles, TokenFormat, TrustedIssuer};
use stockade::doctor::{Finding, Verdict, bcp};
use stockade::model::client::ClientSecret;
use stockade::model::{Algorithm, AuthMethod, Client, GrantType, SigningKey};
use stockade::oauth;

use super::{NOW, advised, key};

/// What is looked at, to be made worse.
struct Case {
    config: Config,
    clients: Vec<Client>,
    keys: Vec<SigningKey>,
    metadata: Value,
}

fn web() -> Client {
    Client {
        grants: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        redirect_uris: vec!["https://app.example/cb".to_owned()],
        default_resource: "http://localhost:8080".to_owned(),
        secrets: vec![ClientSecret { digest: "x".to_owned(), created_at: NOW, expires_at: None }],
        ..Client::new("web", AuthMethod::ClientSecretBasic, NOW)
    }
}

fn app() -> Client {
    Client {
        grants: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        redirect_uris: vec!["http://127.0.0.1:3000/cb".to_owned(), "com.example.app:/cb".to_owned()],
        cors_origins: vec!["https://app.example".to_owned()],
        default_resource: "http://localhost:8080".to_owned(),
        ..Client::new("app", AuthMethod::None, NOW)
    }
}

fn good() -> Case {
    let config = Config::default();
    let metadata = oauth::published(&config).unwrap();
    Case { config, clients: vec![web(), app()], keys: vec![key(Algorithm::ES256, NOW)], metadata }
}

fn walk(case: &Case) -> Vec<Finding> {
    let Case { config, clients, keys, metadata } = case;
    let findings = bcp::walk(&bcp::Facts { config, clients, keys, metadata, now: NOW });
    advised(&findings);
    findings
}

/// The one line that is not ok after this change: its section, how it came out, and what was found.
fn after(change: impl FnOnce(&mut Case)) -> (&'static str, Verdict, String) {
    let mut case = good();
    change(&mut case);
    let mut wrong = walk(&case);
    wrong.retain(|finding| finding.verdict != Verdict::Ok);
    assert_eq!(wrong.len(), 1, "{wrong:#?}");
    let one = wrong.remove(0);
    (one.section, one.verdict, one.found)
}

fn fails(section: &str, names: &str, change: impl FnOnce(&mut Case)) {
    let (at, verdict, found) = after(change);
    assert_eq!((at, verdict), (section, Verdict::Failed), "{found}");
    assert!(found.contains(names), "{found}");
}

fn warns(section: &str, names: &str, change: impl FnOnce(&mut Case)) {
    let (at, verdict, found) = after(change);
    assert_eq!((at, verdict), (section, Verdict::Warning), "{found}");
    assert!(found.contains(names), "{found}");
}

#[test]
fn the_default_configuration_follows_it_with_and_without_clients() {
    let mut case = good();
    let all = walk(&case);
    assert!(all.iter().all(|finding| finding.verdict == Verdict::Ok), "{all:#?}");
    assert!(all.len() >= 25);
    (case.clients, case.keys) = (Vec::new(), Vec::new());
    assert!(walk(&case).iter().all(|finding| finding.verdict == Verdict::Ok));
}

#[test]
fn redirect_uris_are_exact_https_or_loopback() {
    for bad in ["http://app.example/cb", "https://*.example/cb", "https://app.example/*", "myapp:/cb"] {
        fails("2.1, 4.1", bad, |case| case.clients[0].redirect_uris.push(bad.to_owned()));
    }
}

#[test]
fn a_disabled_client_is_nobody_s_worry() {
    let mut case = good();
    case.clients[0].redirect_uris.push("https://*.example/cb".to_owned());
    case.clients[0].disabled = true;
    assert!(walk(&case).iter().all(|finding| finding.verdict == Verdict::Ok));
}

#[test]
fn pkce_is_offered_rightly_and_asked_of_every_client() {
    fails("2.1.1, 4.5", "`web`", |case| case.clients[0].require_pkce = false);
    fails("2.1.1", "plain", |case| case.metadata["code_challenge_methods_supported"] = json!(["S256", "plain"]));
    fails("2.1.1", "not offered", |case| {
        case.metadata.as_object_mut().unwrap().remove("code_challenge_methods_supported");
    });
    let mut case = good();
    case.clients[0].require_pkce = false;
    case.clients[0].grants = vec![GrantType::ClientCredentials];
    assert!(walk(&case).iter().all(|finding| finding.verdict == Verdict::Ok), "it never asks for a code");
}

#[test]
fn old_grants_and_silent_answers_are_seen_in_the_metadata() {
    fails("2.1.2", "`code token`", |case| case.metadata["response_types_supported"] = json!(["code", "code token"]));
    fails("2.1.2", "implicit", |case| {
        case.metadata["grant_types_supported"].as_array_mut().unwrap().push("implicit".into());
    });
    fails("2.4", "password", |case| {
        case.metadata["grant_types_supported"].as_array_mut().unwrap().push("password".into());
    });
    fails("2.1, 4.4", "iss", |case| case.metadata["authorization_response_iss_parameter_supported"] = json!(false));
    fails("2.6, 4.4", "another issuer", |case| case.metadata["issuer"] = json!("https://other.example"));
}

#[test]
fn tokens_are_bound_to_keys_where_that_is_wanted() {
    warns("2.2.1, 4.10.1", "no nonce", |case| case.config.oauth.dpop_nonces = false);
    fails("2.2.1, 4.10.1", "`app`", |case| {
        case.config.oauth.dpop_nonces = false;
        case.clients[1].dpop_bound = true;
    });
    warns("2.2.1, 4.10.1", "not offered", |case| case.metadata["dpop_signing_alg_values_supported"] = json!([]));
    fails("2.2.1, 4.10.1", "`web` want it", |case| {
        case.metadata["dpop_signing_alg_values_supported"] = json!([]);
        case.clients[0].dpop_bound = true;
    });
}

#[test]
fn refresh_tokens_of_public_clients_rotate_and_unused_ones_die() {
    let long = Duration::from_secs(600);
    fails("2.2.2, 4.14", "`app`", |case| case.config.oauth.refresh_grace = long);
    warns("2.2.2, 4.14", "10m", |case| {
        case.config.oauth.refresh_grace = long;
        case.clients.truncate(1);
    });
    let year = Duration::from_secs(400 * 86_400);
    fails("4.14.2", "400d", |case| case.config.oauth.grant_lifetime = year);
    fails("4.14.2", "100d", |case| {
        case.config.oauth.refresh_token_ttl = Duration::from_secs(100 * 86_400);
        case.config.oauth.grant_lifetime = case.config.oauth.refresh_token_ttl;
    });
}

#[test]
fn every_token_is_for_an_api_that_is_served() {
    fails("2.3, 4.10.2", "`web` has no default", |case| case.clients[0].default_resource.clear());
    fails("2.3, 4.10.2", "https://gone.example", |case| {
        case.clients[0].default_resource = "https://gone.example".to_owned();
    });
}

fn api(tokens: TokenFormat, ttl: u64) -> ResourceServer {
    ResourceServer { id: "https://api.example".to_owned(), tokens, alg: None, ttl: Some(Duration::from_secs(ttl)) }
}

#[test]
fn tokens_that_nobody_looks_up_live_short() {
    fails("2.3, 4.10", "oauth.access_token_ttl", |case| {
        case.config.oauth.access_token_ttl = Duration::from_secs(3601);
    });
    fails("2.3, 4.10", "https://api.example", |case| case.config.oauth.resources.push(api(TokenFormat::Jwt, 7200)));
    fails("2.3, 4.10", "`web`: 2h", |case| case.clients[0].access_token_ttl_secs = Some(7200));
    let mut case = good();
    case.config.oauth.resources.push(api(TokenFormat::Opaque, 7200));
    case.clients[0].access_token_ttl_secs = Some(7200);
    case.clients[0].default_resource = "https://api.example".to_owned();
    assert!(walk(&case).iter().all(|finding| finding.verdict == Verdict::Ok), "those are looked up");
}

#[test]
fn clients_authenticate_and_only_who_does_may_introspect() {
    fails("2.5", "`web`", |case| case.clients[0].secrets.clear());
    fails("2.5", "`web`", |case| case.clients[0].secrets[0].expires_at = Some(NOW));
    warns("2.5", "older than a year", |case| {
        case.clients[0].secrets[0].created_at = Timestamp::from_secs(1_700_000_000)
    });
    warns("2.3", "`app`", |case| case.clients[1].scopes.push("admin".to_owned()));
    fails("2.5, RFC 7662 2.1", "`app`", |case| case.clients[1].serves.push("http://localhost:8080".to_owned()));
    fails("2.5, RFC 7662 2.1", "anybody", |case| {
        case.metadata["introspection_endpoint_auth_methods_supported"] = json!(["none"]);
    });
    let trusted = |uri: &str| TrustedIssuer {
        issuer: "https://ci.example".to_owned(),
        keys: IssuerKeys::Uri(uri.to_owned()),
        audience: None,
        algs: vec![Algorithm::RS256],
    };
    fails("2.5", "https://ci.example", |case| {
        case.config.oauth.trusted_issuers.push(trusted("http://ci.example/keys"))
    });
    let mut case = good();
    case.config.oauth.trusted_issuers.push(trusted("https://ci.example/keys"));
    assert!(walk(&case).iter().all(|finding| finding.verdict == Verdict::Ok));
}

#[test]
fn nothing_travels_in_clear_and_not_everybody_is_a_proxy() {
    let outside = |case: &mut Case| case.config.server.listen = "0.0.0.0:8080".parse().unwrap();
    fails("2.6", "0.0.0.0:8080", outside);
    warns("4.13", "none is known", |case| {
        outside(case);
        case.config.server.behind_tls_proxy = true;
    });
    fails("4.13", "0.0.0.0/0", |case| case.config.server.trusted_proxies.push("0.0.0.0/0".parse().unwrap()));
    let mut case = good();
    outside(&mut case);
    case.config.http.tls = Some(TlsFiles { certificate: "c".into(), key: "k".into() });
    case.config.server.trusted_proxies.push("10.0.0.0/8".parse().unwrap());
    assert!(walk(&case).iter().all(|finding| finding.verdict == Verdict::Ok));
    fails("2.6, 4.4", "http://auth.example", |case| {
        case.config.server.issuer = "http://auth.example".to_owned();
        case.metadata = oauth::published(&case.config).unwrap();
        case.clients.clear();
    });
}

#[test]
fn cors_is_for_listed_origins_by_https() {
    for bad in ["*", "http://app.example", "null"] {
        fails("2.6", bad, |case| case.clients[1].cors_origins.push(bad.to_owned()));
    }
}

#[test]
fn no_client_can_be_taken_for_a_person() {
    fails("4.15", "`usr_x`", |case| case.clients[0].client_id = "usr_x".to_owned());
}

#[test]
fn keys_rotate() {
    fails("keys", "700d", |case| case.config.oauth.key_lifetime = Duration::from_secs(700 * 86_400));
    fails("keys", "ES256", |case| {
        case.keys = vec![key(Algorithm::ES256, NOW.minus(Duration::from_secs(120 * 86_400)))];
    });
}
