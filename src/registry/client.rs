//! Clients: read from JSON members, checked whole by the [`rules`](super::rules); and their secrets.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::members::{self, Null};
use super::rules::{id_mistake, mistakes};
use super::{Mistake, Site};
use crate::base::{Rng, Secret, Timestamp, id};
use crate::crypto::{b64url, secret_text};
use crate::model::client::ClientSecret;
use crate::model::{AuthMethod, Client, GrantType};

/// Members that a caller may send. The others of [`Client`] are the server's.
pub const MEMBERS: &[&str] = &[
    "client_name",
    "kind",
    "auth_method",
    "jwks",
    "grants",
    "scopes",
    "resources",
    "default_resource",
    "serves",
    "redirect_uris",
    "post_logout_redirect_uris",
    "backchannel_logout_uri",
    "require_pkce",
    "require_par",
    "dpop_bound",
    "cors_origins",
    "id_token_alg",
    "access_token_alg",
    "access_token_ttl_secs",
    "roles",
    "disabled",
];

/// Scopes of what the issuer itself serves: userinfo, the management API, AuthZEN. Their tokens are for it.
const OF_THE_ISSUER: &[&str] = &[
    "openid",
    "profile",
    "email",
    "address",
    "phone",
    "audit:read",
    "findings:read",
    "findings:write",
    "admin",
    "pdp",
    "client:register",
];

/// A client of which nothing is said.
fn blank(client_id: &str, now: Timestamp) -> Client {
    Client::new(client_id, AuthMethod::ClientSecretBasic, now)
}

/// A new client. Without `client_id` it is given one; it has no secret yet.
///
/// # Errors
/// Every mistake.
pub fn create(
    sent: &Map<String, Value>,
    site: &Site,
    now: Timestamp,
    random: &dyn Rng,
) -> Result<Client, Vec<Mistake>> {
    let client_id = match sent.get("client_id") {
        None => id::new("client", now, random),
        Some(Value::String(id)) => id.clone(),
        Some(_) => return Err(vec![Mistake::of("client_id", "expected text")]),
    };
    // In the order they were sent, which is the order of the mistakes.
    let sent = inferred(sent.iter().filter(|(name, _)| *name != "client_id"));
    let blank = blank(&client_id, now);
    let laid = members::lay(&blank, &blank, &sent, MEMBERS, &Map::new(), Null::Stays);
    let named = id_mistake(&client_id);
    match (laid, named) {
        (Ok(client), None) => checked(settled(client, site), site),
        (Ok(client), Some(named)) => {
            let mut all = vec![named];
            all.extend(checked(settled(client, site), site).err().unwrap_or_default());
            Err(all)
        }
        (Err(mut mistakes), named) => {
            mistakes.splice(0..0, named);
            Err(mistakes)
        }
    }
}

/// A new client under an id that is not ours to choose, of [`MEMBERS`] alone. It has no secret yet.
///
/// # Errors
/// Every mistake.
pub fn described(
    client_id: &str,
    sent: &Map<String, Value>,
    site: &Site,
    now: Timestamp,
) -> Result<Client, Vec<Mistake>> {
    let blank = blank(client_id, now);
    let client = members::lay(&blank, &blank, &inferred(sent), MEMBERS, &Map::new(), Null::Stays)?;
    checked(settled(client, site), site)
}

/// `current` as `sent` says, and nothing else of it but its id, its age and its secrets.
///
/// # Errors
/// Every mistake.
pub fn replace(current: &Client, sent: &Map<String, Value>, site: &Site) -> Result<Client, Vec<Mistake>> {
    let sent = inferred(sent);
    let mut base = blank(&current.client_id, current.created_at);
    base.secrets.clone_from(&current.secrets);
    let client = members::lay(&base, &base, &sent, MEMBERS, &fixed(current), Null::Stays)?;
    checked(settled(client, site), site)
}

/// `current` with the members of `sent` in place of its own; `null` puts a default back (RFC 7396).
///
/// # Errors
/// Every mistake.
pub fn patch(current: &Client, sent: &Map<String, Value>, site: &Site) -> Result<Client, Vec<Mistake>> {
    let blank = blank(&current.client_id, current.created_at);
    let sent = spelled(sent);
    let client = members::lay(current, &blank, &sent, MEMBERS, &fixed(current), Null::Resets)?;
    checked(settled(client, site), site)
}

/// What is sent back with what was read, and stays as it is.
fn fixed(current: &Client) -> Map<String, Value> {
    let mut shown = match view(current) {
        Value::Object(shown) => shown,
        _ => Map::new(),
    };
    shown.retain(|name, _| !MEMBERS.contains(&name.as_str()));
    shown
}

/// A client as it is shown: digests of secrets are left out.
pub fn view(client: &Client) -> Value {
    let mut view = members::of(client);
    let secrets: Vec<_> = client
        .secrets
        .iter()
        .map(|secret| json!({ "created_at": secret.created_at, "expires_at": secret.expires_at }))
        .collect();
    view.insert("secrets".to_owned(), secrets.into());
    Value::Object(view)
}

/// Whoever says how a client authenticates has said what kind it is, and the other way round.
fn inferred<'a>(sent: impl IntoIterator<Item = (&'a String, &'a Value)>) -> Map<String, Value> {
    let mut sent = spelled(sent);
    let is = |name: &str, value: &str| sent.get(name).and_then(Value::as_str) == Some(value);
    let has_keys = sent.get("jwks").is_some_and(|jwks| !jwks.is_null());
    let method = match () {
        () if sent.contains_key("auth_method") => None,
        () if has_keys => Some("private_key_jwt"),
        () if is("kind", "public") => Some("none"),
        () => None,
    };
    let kind = (!sent.contains_key("kind") && is("auth_method", "none")).then_some("public");
    let inferred = [("auth_method", method), ("kind", kind)];
    sent.extend(inferred.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?)))));
    sent
}

/// The same members; a grant of a long name may be called by its last part: `device_code`, `token-exchange`, `jwt-bearer`.
fn spelled<'a>(sent: impl IntoIterator<Item = (&'a String, &'a Value)>) -> Map<String, Value> {
    let mut sent: Map<_, _> = sent.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    for grant in sent.get_mut("grants").and_then(Value::as_array_mut).into_iter().flatten() {
        let short = grant.as_str().unwrap_or_default();
        let long = GrantType::ALL.into_iter().find(|known| {
            let last = known.as_str().rsplit(':').next().unwrap_or_default();
            short == last || short.replace('_', "-") == last
        });
        if let Some(long) = long {
            *grant = long.as_str().into();
        }
    }
    sent
}

/// Repeats left out, the default resource among the resources, no secrets where none is used.
fn settled(mut client: Client, site: &Site) -> Client {
    if client.default_resource.is_empty() {
        let own = client.scopes.iter().any(|scope| OF_THE_ISSUER.contains(&scope.as_str()));
        client.default_resource = match (client.resources.first(), &site.default_resource) {
            (Some(first), _) => first.clone(),
            (None, Some(configured)) if !own => {
                client.resources.push(site.issuer.clone());
                configured.clone()
            }
            (None, _) => site.issuer.clone(),
        };
    }
    client.resources.push(client.default_resource.clone());
    for list in
        [&mut client.scopes, &mut client.resources, &mut client.serves, &mut client.redirect_uris, &mut client.roles]
    {
        distinct(list);
    }
    distinct(&mut client.grants);
    if !uses_secrets(&client) {
        client.secrets.clear();
    }
    client
}

fn distinct<T: PartialEq>(items: &mut Vec<T>) {
    let mut kept: Vec<T> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    *items = kept;
}

/// Whether it authenticates with a secret.
pub fn uses_secrets(client: &Client) -> bool {
    matches!(client.auth_method, AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost)
}

fn checked(client: Client, site: &Site) -> Result<Client, Vec<Mistake>> {
    let mistakes = mistakes(&client, site);
    if mistakes.is_empty() { Ok(client) } else { Err(mistakes) }
}

/// A fresh secret and its stored form.
pub fn new_secret(now: Timestamp, random: &dyn Rng) -> (Secret<String>, ClientSecret) {
    let secret = secret_text::generate(secret_text::Kind::ClientSecret, random);
    let digest = b64url::encode(&secret_text::digest(secret.expose()));
    (secret, ClientSecret { digest, created_at: now, expires_at: None })
}

/// The new secret first, then the last one until the overlap is over; older ones end now.
pub fn rotated(old: &[ClientSecret], new: ClientSecret, now: Timestamp, overlap: Duration) -> Vec<ClientSecret> {
    let end = now.plus(overlap);
    let last = old.first().filter(|secret| !overlap.is_zero() && secret.expires_at.is_none_or(|at| at > now));
    let last = last.map(|secret| ClientSecret {
        expires_at: Some(secret.expires_at.map_or(end, |at| at.min(end))),
        ..secret.clone()
    });
    std::iter::once(new).chain(last).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rules::MOST;
    use super::*;
    use crate::base::SeededRng;
    use crate::model::{Algorithm, ClientKind};

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn site() -> Site {
        Site {
            issuer: "https://auth.example".to_owned(),
            resources: vec!["https://api.example".to_owned()],
            default_resource: None,
            algs: vec![Algorithm::ES256],
        }
    }

    fn made(sent: Value) -> Result<Client, Vec<(String, String)>> {
        let told = |all: Vec<Mistake>| all.into_iter().map(|m| (m.pointer, m.detail)).collect();
        create(sent.as_object().unwrap(), &site(), NOW, &SeededRng::new(1)).map_err(told)
    }

    fn pointers(sent: Value) -> Vec<String> {
        made(sent).expect_err("mistakes").into_iter().map(|(pointer, _)| pointer).collect()
    }

    fn app() -> Client {
        made(json!({ "client_id": "app", "grants": ["client_credentials"], "scopes": ["a", "b", "a"] })).unwrap()
    }

    #[test]
    fn every_member_of_a_client_is_the_caller_s_or_the_server_s() {
        let full = json!({
            "client_id": "app", "client_name": "App", "post_logout_redirect_uris": ["https://app.example/bye"],
            "backchannel_logout_uri": "https://app.example/logout", "cors_origins": ["https://app.example"],
            "id_token_alg": "ES256", "jwks": {
                "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256",
                    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" }]
            },
            "access_token_alg": "ES256", "access_token_ttl_secs": 60,
        });
        let shown = view(&made(full).unwrap());
        let mut names: Vec<_> = shown.as_object().unwrap().keys().map(String::as_str).collect();
        names.retain(|name| !MEMBERS.contains(name));
        names.sort_unstable();
        assert_eq!(names, ["client_id", "created_at", "secrets"]);
        assert!(MEMBERS.iter().all(|name| shown.get(name).is_some()), "{shown}");
    }

    #[test]
    fn a_client_without_an_api_has_the_configured_one_unless_it_is_for_the_issuer() {
        let (issuer, api) = ("https://auth.example", "https://api.example");
        let site = Site { default_resource: Some(api.to_owned()), ..site() };
        let with = |more: Value| {
            let mut sent = json!({ "client_id": "app", "grants": ["client_credentials"] });
            sent.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let made = create(sent.as_object().unwrap(), &site, NOW, &SeededRng::new(1)).unwrap();
            (made.default_resource, made.resources)
        };
        let strings = |all: &[&str]| all.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(with(json!({ "scopes": ["notes:read"] })), (api.to_owned(), strings(&[issuer, api])));
        assert_eq!(with(json!({ "scopes": ["notes:read", "openid"] })), (issuer.to_owned(), strings(&[issuer])));
        assert_eq!(with(json!({ "scopes": ["audit:read"] })), (issuer.to_owned(), strings(&[issuer])));
        assert_eq!(with(json!({ "resources": [issuer] })), (issuer.to_owned(), strings(&[issuer])));
        let named = with(json!({ "scopes": ["a"], "resources": [api], "default_resource": issuer }));
        assert_eq!(named, (issuer.to_owned(), strings(&[api, issuer])), "what is said counts");
    }

    #[test]
    fn little_has_to_be_said() {
        let client = app();
        assert_eq!((client.kind, client.auth_method), (ClientKind::Confidential, AuthMethod::ClientSecretBasic));
        assert_eq!(client.scopes, ["a", "b"], "repeats are left out");
        assert_eq!((client.default_resource.as_str(), client.resources.len()), ("https://auth.example", 1));
        let spa = made(json!({ "kind": "public", "redirect_uris": ["https://app.example/cb"] })).unwrap();
        assert_eq!(spa.auth_method, AuthMethod::None);
        assert!(spa.client_id.starts_with("client_"), "{}", spa.client_id);
        assert_eq!(made(json!({ "auth_method": "none" })).unwrap().kind, ClientKind::Public);
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_place() {
        assert_eq!(
            pointers(json!({ "client_id": "a b", "disabled": 1, "grants": ["password"], "scope": "x", "scopes": "x" })),
            ["/client_id", "/disabled", "/grants", "/scope", "/scopes"]
        );
        assert_eq!(
            pointers(json!({
                "client_id": "", "kind": "public", "grants": ["client_credentials"], "scopes": ["ok", "two words"],
                "resources": ["https://nobody.example"], "serves": ["/x"], "redirect_uris": ["http://evil.example/cb"],
                "access_token_alg": "RS256", "access_token_ttl_secs": 86_401, "roles": [""],
            })),
            [
                "/client_id",
                "/grants",
                "/scopes/1",
                "/resources/0",
                "/serves/0",
                "/redirect_uris/0",
                "/roles/0",
                "/access_token_alg",
                "/access_token_ttl_secs"
            ]
        );
        let (_, detail) = made(json!({ "redirect_uri": [] })).unwrap_err().remove(0);
        assert_eq!(detail, "there is no such member: did you mean `redirect_uris`?");
        let (_, detail) = made(json!({ "client_secret": "hunter2" })).unwrap_err().remove(0);
        assert!(detail.contains("made here") && !detail.contains("hunter2"));
    }

    #[test]
    fn how_a_client_authenticates_fits_what_it_is() {
        assert_eq!(pointers(json!({ "kind": "public", "auth_method": "client_secret_basic" })), ["/auth_method"]);
        assert_eq!(pointers(json!({ "kind": "confidential", "auth_method": "none" })), ["/auth_method"]);
        assert_eq!(pointers(json!({ "auth_method": "private_key_jwt" })), ["/jwks"]);
        assert_eq!(pointers(json!({ "jwks": {}, "auth_method": "client_secret_post" })), ["/jwks"]);
        assert_eq!(pointers(json!({ "jwks": { "keys": [{ "kty": "oct", "k": "AA" }] } })), ["/jwks"]);
    }

    #[test]
    fn a_grant_fits_the_client_that_uses_it() {
        assert_eq!(pointers(json!({ "grants": ["authorization_code"] })), ["/redirect_uris"]);
        assert_eq!(pointers(json!({ "grants": ["refresh_token"] })), ["/grants"]);
        assert_eq!(pointers(json!({ "kind": "public", "grants": ["token-exchange"] })), ["/grants"]);
        assert_eq!(pointers(json!({ "kind": "public", "require_pkce": false })), ["/require_pkce"]);
        assert!(!made(json!({ "require_pkce": false })).unwrap().require_pkce);
        let device = made(json!({ "kind": "public", "grants": ["device_code", "refresh_token"] })).unwrap();
        assert_eq!(device.grants, [GrantType::DeviceCode, GrantType::RefreshToken]);
        for (short, long) in [("token_exchange", GrantType::TokenExchange), ("jwt-bearer", GrantType::JwtBearer)] {
            assert_eq!(made(json!({ "grants": [short] })).unwrap().grants, [long]);
        }
    }

    #[test]
    fn what_a_client_shows_and_calls_is_checked() {
        assert_eq!(
            pointers(json!({
                "client_name": "", "client_id": "usr_1", "post_logout_redirect_uris": ["http://app.example"],
                "backchannel_logout_uri": "http://app.example/logout", "cors_origins": ["https://app.example/"],
                "id_token_alg": "RS256",
            })),
            [
                "/client_id",
                "/post_logout_redirect_uris/0",
                "/cors_origins/0",
                "/client_name",
                "/backchannel_logout_uri",
                "/id_token_alg"
            ]
        );
    }

    #[test]
    fn a_list_is_bounded() {
        let many: Vec<_> = (0..=MOST).map(|n| format!("s{n}")).collect();
        assert_eq!(pointers(json!({ "scopes": many })), ["/scopes"]);
    }

    #[test]
    fn a_patch_changes_what_it_names_and_null_puts_the_default_back() {
        let mut current = app();
        (current.access_token_ttl_secs, current.roles) = (Some(60), vec!["ops".to_owned()]);
        let sent = json!({ "scopes": ["c"], "roles": null, "access_token_ttl_secs": null });
        let after = patch(&current, sent.as_object().unwrap(), &site()).unwrap();
        assert_eq!((after.scopes.as_slice(), after.roles.len()), (&["c".to_owned()][..], 0));
        assert_eq!((after.access_token_ttl_secs, &after.grants), (None, &current.grants));
        let wrong = patch(&current, json!({ "kind": "public" }).as_object().unwrap(), &site()).unwrap_err();
        assert_eq!(wrong.iter().map(Mistake::member).collect::<Vec<_>>(), ["auth_method", "grants"]);
    }

    #[test]
    fn what_was_read_can_be_sent_back_and_what_is_fixed_stays() {
        let mut current = app();
        current.secrets = vec![new_secret(NOW, &SeededRng::new(2)).1];
        let shown = view(&current);
        assert_eq!(replace(&current, shown.as_object().unwrap(), &site()).unwrap(), current);
        for (name, value) in [("client_id", json!("other")), ("created_at", json!(0)), ("secrets", json!([]))] {
            let mut sent = shown.as_object().unwrap().clone();
            sent.insert(name.to_owned(), value);
            let wrong = replace(&current, &sent, &site()).unwrap_err();
            assert_eq!(wrong.iter().map(Mistake::member).collect::<Vec<_>>(), [name]);
        }
        let bare = replace(&current, &Map::new(), &site()).unwrap();
        assert_eq!((bare.scopes.len(), bare.grants.len(), &bare.secrets), (0, 0, &current.secrets));
    }

    #[test]
    fn a_client_that_stops_using_secrets_has_none() {
        let mut current = app();
        current.secrets = vec![new_secret(NOW, &SeededRng::new(2)).1];
        let sent = json!({ "kind": "public", "auth_method": "none", "grants": [] });
        assert!(patch(&current, sent.as_object().unwrap(), &site()).unwrap().secrets.is_empty());
    }

    fn secret(name: &str, expires_at: Option<i64>) -> ClientSecret {
        let expires_at = expires_at.map(Timestamp::from_secs);
        ClientSecret { digest: name.to_owned(), created_at: Timestamp::from_secs(0), expires_at }
    }

    #[test]
    fn rotation_keeps_the_last_secret_for_the_overlap_and_none_older() {
        let day = Duration::from_secs(86_400);
        let old = [secret("b", None), secret("a", Some(2000))];
        assert_eq!(rotated(&old, secret("c", None), NOW, day), [secret("c", None), secret("b", Some(87_400))]);
        assert_eq!(rotated(&old, secret("c", None), NOW, Duration::ZERO), [secret("c", None)]);
        let expired = [secret("b", Some(999))];
        assert_eq!(rotated(&expired, secret("c", None), NOW, day), [secret("c", None)]);
        let sooner = [secret("b", Some(1500))];
        assert_eq!(rotated(&sooner, secret("c", None), NOW, day), [secret("c", None), secret("b", Some(1500))]);
    }
}
