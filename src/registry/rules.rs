//! What a client must be, whoever made it.

use std::time::Duration;

use super::{Mistake, Site, uri};
use crate::crypto::assertion::ClientKeys;
use crate::model::{AuthMethod, Client, ClientKind, GrantType};

/// How long an access token may live: a retired key is kept as long.
pub const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(86_400);

/// Most items of a list.
pub(super) const MOST: usize = 100;

/// Everything that is wrong with a client, whoever made it.
pub fn mistakes(client: &Client, site: &Site) -> Vec<Mistake> {
    let mut all = Vec::new();
    authentication(client, &mut all);
    grants(client, &mut all);
    let mut each = |name: &str, items: &[String], check: &dyn Fn(&str) -> Result<(), String>| {
        if items.len() > MOST {
            all.push(Mistake::of(name, format!("at most {MOST} are kept: this has {}", items.len())));
        }
        let wrong = items.iter().enumerate().filter_map(|(at, item)| Some((at, check(item).err()?)));
        all.extend(wrong.map(|(at, detail)| Mistake::item(name, at, detail)));
    };
    let api = |text: &str| api(text, site);
    each("scopes", &client.scopes, &scope);
    each("resources", &client.resources, &api);
    each("serves", &client.serves, &api);
    each("redirect_uris", &client.redirect_uris, &uri::redirect);
    each("post_logout_redirect_uris", &client.post_logout_redirect_uris, &uri::redirect);
    each("cors_origins", &client.cors_origins, &uri::origin);
    each("roles", &client.roles, &role);
    if let Some(wrong) = client.client_name.as_deref().and_then(|name| called(name).err()) {
        all.push(Mistake::of("client_name", wrong));
    }
    if let Some(wrong) = client.backchannel_logout_uri.as_deref().and_then(|uri| uri::called(uri).err()) {
        all.push(Mistake::of("backchannel_logout_uri", wrong));
    }
    for (name, alg) in [("id_token_alg", client.id_token_alg), ("access_token_alg", client.access_token_alg)] {
        if let Some(alg) = alg.filter(|alg| !site.algs.contains(alg)) {
            let detail = format!("nothing signs with {}: add it to `oauth.signing_algs` first", alg.as_str());
            all.push(Mistake::of(name, detail));
        }
    }
    if client.access_token_ttl_secs.is_some_and(|secs| !TTL.contains(&Duration::from_secs(secs))) {
        all.push(Mistake::of("access_token_ttl_secs", "choose between 5 and 86400 seconds"));
    }
    all
}

fn authentication(client: &Client, all: &mut Vec<Mistake>) {
    let public = client.kind == ClientKind::Public;
    if public != (client.auth_method == AuthMethod::None) {
        let detail = if public {
            "a public client has nothing to authenticate with: `none` (RFC 6749 2.1)"
        } else {
            "a confidential client authenticates: client_secret_basic, client_secret_post or private_key_jwt"
        };
        all.push(Mistake::of("auth_method", detail));
    }
    match (&client.jwks, client.auth_method) {
        (None, AuthMethod::PrivateKeyJwt) => {
            all.push(Mistake::of("jwks", "private_key_jwt needs the client's public keys"));
        }
        (Some(_), AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost | AuthMethod::None) => {
            all.push(Mistake::of("jwks", "keys are for private_key_jwt: leave them out, or change `auth_method`"));
        }
        (Some(jwks), AuthMethod::PrivateKeyJwt) => {
            if let Err(error) = ClientKeys::parse(jwks) {
                all.push(Mistake::of("jwks", error.to_string()));
            }
        }
        (None, _) => {}
    }
}

fn grants(client: &Client, all: &mut Vec<Mistake>) {
    let has = |grant| client.grants.contains(&grant);
    if client.kind == ClientKind::Public {
        if has(GrantType::ClientCredentials) {
            all.push(Mistake::of("grants", "a public client cannot use client_credentials (RFC 6749 4.4)"));
        }
        if has(GrantType::TokenExchange) {
            all.push(Mistake::of(
                "grants",
                "a public client cannot use token-exchange: nobody would know who exchanges",
            ));
        }
        if !client.require_pkce {
            all.push(Mistake::of(
                "require_pkce",
                "a public client needs PKCE (RFC 9700 2.1.1): only others may go without",
            ));
        }
    }
    if has(GrantType::AuthorizationCode) && client.redirect_uris.is_empty() {
        all.push(Mistake::of("redirect_uris", "authorization_code needs at least one"));
    }
    if has(GrantType::RefreshToken) && !has(GrantType::AuthorizationCode) && !has(GrantType::DeviceCode) {
        let detail = "refresh_token goes with authorization_code or device_code: nothing else gives a refresh token";
        all.push(Mistake::of("grants", detail));
    }
}

/// What is wrong with an id that somebody chose.
pub(super) fn id_mistake(text: &str) -> Option<Mistake> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    if text.starts_with("usr_") {
        return Some(Mistake::of("client_id", "`usr_` begins the ids of people: choose another"));
    }
    let good = (1..=128).contains(&text.len()) && text.chars().all(plain);
    (!good).then(|| Mistake::of("client_id", "use 1 to 128 characters of A-Z a-z 0-9 - _ . ~"))
}

/// RFC 6749 3.3.
fn scope(text: &str) -> Result<(), String> {
    if (1..=128).contains(&text.len()) && text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
        Ok(())
    } else {
        Err("a scope is printable ASCII without blanks, quotes and backslashes, at most 128 characters".to_owned())
    }
}

fn api(text: &str, site: &Site) -> Result<(), String> {
    uri::absolute(text)?;
    if site.knows(text) {
        return Ok(());
    }
    Err(format!("`{text}` is no API of this server: add it to [[oauth.resources]] first"))
}

fn called(text: &str) -> Result<(), String> {
    if (1..=128).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        Ok(())
    } else {
        Err("a name has 1 to 128 characters".to_owned())
    }
}

fn role(text: &str) -> Result<(), String> {
    if (1..=128).contains(&text.len()) && !text.chars().any(char::is_control) {
        Ok(())
    } else {
        Err("a role is a name of 1 to 128 bytes".to_owned())
    }
}
