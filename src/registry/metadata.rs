//! Clients in the words of RFC 7591 2, which dynamic registration and client metadata documents speak: read into ours, checked
//! by the same rules, and shown again. What the standard does not name is not a client's to say of itself: its roles, what it
//! serves, the lifetime of its tokens.

use serde_json::{Map, Value, json};

use super::{Mistake, Site, client};
use crate::base::Timestamp;
use crate::model::client::{DYNAMIC, GrantType};
use crate::model::{AuthMethod, Client};

/// Members that are ours under another name, or under the same.
const NAMES: &[(&str, &str)] = &[
    ("redirect_uris", "redirect_uris"),
    ("token_endpoint_auth_method", "auth_method"),
    ("grant_types", "grants"),
    ("scope", "scopes"),
    ("client_name", "client_name"),
    ("jwks", "jwks"),
    ("post_logout_redirect_uris", "post_logout_redirect_uris"),
    ("backchannel_logout_uri", "backchannel_logout_uri"),
    ("require_pushed_authorization_requests", "require_par"),
    ("dpop_bound_access_tokens", "dpop_bound"),
    ("id_token_signed_response_alg", "id_token_alg"),
];

/// What a client is called here when nobody of this house registered it.
fn wire_name(ours: &str) -> &str {
    NAMES.iter().find(|(_, known)| *known == ours).map_or(ours, |(wire, _)| wire)
}

/// The client that `sent` describes; members that are unknown are passed over (RFC 7591 2). One that names no scopes may ask
/// for `scopes`. It has no secret yet.
///
/// # Errors
/// Every mistake, under the standard's names.
pub fn read(
    client_id: &str,
    sent: &Map<String, Value>,
    scopes: &[String],
    site: &Site,
    now: Timestamp,
) -> Result<Client, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut ours = Map::new();
    for (wire, name) in NAMES {
        // Some send `null`, or an empty text, for what they leave out.
        let Some(value) = sent.get(*wire).filter(|value| !value.is_null() && *value != "") else { continue };
        ours.insert((*name).to_owned(), value.clone());
    }
    if sent.get("jwks_uri").is_some_and(|uri| !uri.is_null()) {
        mistakes.push(Mistake::of("jwks_uri", "send the keys themselves, as `jwks`"));
    }
    if sent.get("subject_type").is_some_and(|kind| !kind.is_null() && kind != "public") {
        mistakes.push(Mistake::of("subject_type", "choose `public`"));
    }
    if let Some(text) = ours.get("scopes") {
        match text.as_str() {
            Some(text) => ours.insert("scopes".to_owned(), text.split_whitespace().collect()),
            None => {
                mistakes.push(Mistake::of("scope", "expected scopes with spaces between them"));
                ours.remove("scopes")
            }
        };
    }
    ours.entry("grants").or_insert_with(|| json!([GrantType::AuthorizationCode.as_str()]));
    let grants = ours.get("grants").and_then(Value::as_array).into_iter().flatten();
    let with_people = grants
        .filter_map(Value::as_str)
        .any(|grant| matches!(GrantType::parse(grant), Some(GrantType::AuthorizationCode | GrantType::DeviceCode)));
    if with_people {
        ours.entry("scopes").or_insert_with(|| scopes.into());
    }
    if let Some(types) = sent.get("response_types").filter(|types| !types.is_null()) {
        let types: Option<Vec<&str>> = types.as_array().map(|all| all.iter().filter_map(Value::as_str).collect());
        if types.is_none_or(|types| types.iter().any(|kind| *kind != "code")) {
            mistakes.push(Mistake::of("response_types", "there is only `code`"));
        }
    }
    match client::described(client_id, &ours, site, now) {
        Ok(client) if mistakes.is_empty() => Ok(open(client, site)),
        Ok(_) => Err(mistakes),
        Err(wrong) => {
            mistakes.extend(wrong.into_iter().map(renamed));
            Err(mistakes)
        }
    }
}

/// There are no words for APIs in the standard: it may ask tokens for any, as far as policy lets it.
fn open(mut client: Client, site: &Site) -> Client {
    for api in std::iter::once(&site.issuer).chain(&site.resources) {
        if !client.resources.contains(api) {
            client.resources.push(api.clone());
        }
    }
    client.roles = vec![DYNAMIC.to_owned()];
    client
}

fn renamed(mistake: Mistake) -> Mistake {
    let member = mistake.member();
    let rest = mistake.pointer.get(member.len() + 1..).unwrap_or_default();
    Mistake { pointer: format!("/{}{rest}", wire_name(member)), detail: mistake.detail }
}

/// The client in the words of RFC 7591 3.2.1, without secrets.
pub fn view(client: &Client) -> Map<String, Value> {
    let has_codes = client.grants.contains(&GrantType::AuthorizationCode);
    let auth_method = match client.auth_method {
        AuthMethod::ClientSecretBasic => "client_secret_basic",
        AuthMethod::ClientSecretPost => "client_secret_post",
        AuthMethod::PrivateKeyJwt => "private_key_jwt",
        AuthMethod::None => "none",
    };
    let members = json!({
        "client_id": client.client_id,
        "client_id_issued_at": client.created_at.as_secs(),
        "client_name": client.client_name,
        "redirect_uris": client.redirect_uris,
        "token_endpoint_auth_method": auth_method,
        "grant_types": client.grants.iter().map(|grant| grant.as_str()).collect::<Vec<_>>(),
        "response_types": if has_codes { vec!["code"] } else { vec![] },
        "scope": client.scopes.join(" "),
        "jwks": client.jwks,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
        "backchannel_logout_uri": client.backchannel_logout_uri,
        "require_pushed_authorization_requests": client.require_par,
        "dpop_bound_access_tokens": client.dpop_bound,
        "id_token_signed_response_alg": client.id_token_alg().as_str(),
    });
    let Value::Object(mut members) = members else { return Map::new() };
    members.retain(|_, value| !value.is_null());
    members
}

#[cfg(test)]
mod tests {
    use super::*;
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

    fn read_of(sent: Value) -> Result<Client, Vec<String>> {
        let Value::Object(sent) = sent else { panic!("an object") };
        read("c", &sent, &["openid".to_owned()], &site(), NOW)
            .map_err(|wrong| wrong.into_iter().map(|mistake| mistake.pointer).collect())
    }

    #[test]
    fn the_defaults_are_those_of_the_standard() {
        let client = read_of(json!({ "redirect_uris": ["https://app.example/cb"], "unheard_of": 1 })).unwrap();
        assert_eq!(client.auth_method, AuthMethod::ClientSecretBasic);
        assert_eq!(
            (&*client.grants, &*client.scopes),
            (&[GrantType::AuthorizationCode][..], &["openid".to_owned()][..])
        );
        assert_eq!(client.resources, ["https://auth.example", "https://api.example"]);
        assert_eq!(client.roles, [DYNAMIC]);
        let shown = view(&client);
        assert_eq!(shown["client_id_issued_at"], 1000);
        assert_eq!((&shown["scope"], &shown["response_types"]), (&json!("openid"), &json!(["code"])));
        assert!(!shown.contains_key("jwks") && !shown.contains_key("client_name"));
    }

    #[test]
    fn nobody_gives_themselves_what_the_standard_has_no_word_for() {
        let client = read_of(json!({
            "redirect_uris": ["https://app.example/cb"], "token_endpoint_auth_method": "none", "roles": ["admin"],
            "serves": ["https://api.example"], "access_token_ttl_secs": 86400, "require_pkce": false, "scopes": ["admin"],
            "cors_origins": ["https://evil.example"], "auth_method": "client_secret_basic", "disabled": true,
        }));
        let client = client.unwrap();
        assert_eq!((client.kind, client.auth_method), (ClientKind::Public, AuthMethod::None));
        assert_eq!(client.roles, [DYNAMIC]);
        assert!(client.serves.is_empty() && client.cors_origins.is_empty() && client.access_token_ttl_secs.is_none());
        assert!(client.require_pkce && !client.disabled && client.scopes == ["openid"]);
    }

    #[test]
    fn mistakes_stand_under_the_standard_s_names() {
        for (sent, pointer) in [
            (json!({}), "/redirect_uris"),
            (json!({ "redirect_uris": ["https://app.example/cb", "http://app.example/"] }), "/redirect_uris/1"),
            (json!({ "redirect_uris": "https://app.example/cb" }), "/redirect_uris"),
            (json!({ "grant_types": ["implicit"] }), "/grant_types"),
            (json!({ "grant_types": ["client_credentials"], "scope": ["a"] }), "/scope"),
            (json!({ "grant_types": ["client_credentials"], "scope": "a\"" }), "/scope/0"),
            (json!({ "grant_types": ["client_credentials"], "jwks_uri": "https://a.example/k" }), "/jwks_uri"),
            (json!({ "grant_types": ["client_credentials"], "response_types": ["token"] }), "/response_types"),
            (json!({ "grant_types": ["client_credentials"], "subject_type": "pairwise" }), "/subject_type"),
            (
                json!({ "grant_types": ["client_credentials"], "token_endpoint_auth_method": "client_secret_jwt" }),
                "/token_endpoint_auth_method",
            ),
            (json!({ "grant_types": ["client_credentials"], "token_endpoint_auth_method": "none" }), "/grant_types"),
        ] {
            assert_eq!(read_of(sent.clone()).unwrap_err()[0], pointer, "{sent}");
        }
    }
}
