//! RFC 9700 over a configuration, its clients and its keys.

use std::time::Duration;

use serde_json::Value;

use super::{Check, Finding, some_of};
use crate::base::Timestamp;
use crate::config::text::duration_text;
use crate::config::{Config, IssuerKeys, TokenFormat};
use crate::crypto::rotation;
use crate::model::{Client, ClientKind, GrantType, SigningKey};
use crate::registry::{Site, client, uri};

/// Longest life of a token that nobody looks up: whoever steals it has it that long.
const LONGEST_JWT: Duration = Duration::from_secs(3600);
/// Longest time that a used refresh token of a public client may still count.
const LONGEST_GRACE: Duration = Duration::from_secs(120);
/// Longest idle life of a refresh token, and of what a person granted.
const LONGEST_IDLE: Duration = Duration::from_secs(90 * 86_400);
/// Longest life of a signing key and of a client's secret.
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// What the walk looks at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Every client.
    pub clients: &'a [Client],
    /// Every signing key.
    pub keys: &'a [SigningKey],
    /// The authorization server metadata that this configuration publishes.
    pub metadata: &'a Value,
    /// The time.
    pub now: Timestamp,
}

/// Every check, in the order of the RFC.
pub fn walk(facts: &Facts<'_>) -> Vec<Finding> {
    vec![
        redirect_uris(facts),
        Check("2.1, 4.11", "no open redirector").ok("always: errors of the client or its URI are shown, not sent on"),
        mix_up(facts),
        challenges(facts),
        pkce(facts),
        implicit(facts),
        sender_constrained(facts),
        rotation_of_refresh_tokens(facts),
        idle_refresh_tokens(facts),
        audience(facts),
        lifetime(facts),
        power(facts),
        password_grant(facts),
        client_authentication(facts),
        assertion_keys(facts),
        introspection(facts),
        issuer(facts),
        tls(facts),
        proxies(facts),
        cors(facts),
        Check("4.5, 4.8", "codes are bound to their request, and a challenge cannot be left out afterwards")
            .ok("always: single use within 60 s; a verifier without a challenge is refused, reuse revokes the family"),
        Check("4.7", "requests cannot be forged from elsewhere")
            .ok("always: `state` comes back as sent, forms carry a token of their session"),
        Check("4.12", "no redirect repeats a form").ok("always: 303"),
        subjects(facts),
        Check("4.16", "pages cannot be framed").ok("always: frame-ancestors 'none' and X-Frame-Options"),
        keys(facts),
    ]
}

fn enabled<'a>(facts: &Facts<'a>) -> impl Iterator<Item = &'a Client> + Clone {
    facts.clients.iter().filter(|client| !client.disabled)
}

fn those<'a>(facts: &Facts<'a>, wrong: impl Fn(&Client) -> bool) -> Vec<String> {
    enabled(facts).filter(|client| wrong(client)).map(|client| format!("`{}`", client.client_id)).collect()
}

fn lists(facts: &Facts<'_>, name: &str, item: &str) -> bool {
    facts.metadata.get(name).and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == item))
}

fn redirect_uris(facts: &Facts<'_>) -> Finding {
    let check = Check("2.1, 4.1", "redirect URIs are exact strings, by https or to loopback");
    let all = enabled(facts).flat_map(|client| client.redirect_uris.iter().map(move |uri| (client, uri)));
    let count = all.clone().count();
    let wrong = all.filter_map(|(client, text)| {
        let why = uri::redirect(text).err()?;
        Some(format!("`{}` has `{text}`: {why}", client.client_id))
    });
    let wrong: Vec<_> = wrong.collect();
    check.none_of(&wrong, format!("{count} URIs"), "register others with PATCH /api/v1/clients/ID or `stockade apply`")
}

fn mix_up(facts: &Facts<'_>) -> Finding {
    let check = Check("2.1, 4.4", "answers name their issuer (RFC 9207)");
    if facts.metadata.get("authorization_response_iss_parameter_supported") == Some(&true.into()) {
        return check.ok("`iss` in every answer");
    }
    check.failed("`iss` is not promised", "this version always sends it: is the metadata of another server?")
}

fn challenges(facts: &Facts<'_>) -> Finding {
    let check = Check("2.1.1", "PKCE is offered, with S256 alone");
    match facts.metadata.get("code_challenge_methods_supported").and_then(Value::as_array) {
        Some(methods) if methods.len() == 1 && lists(facts, "code_challenge_methods_supported", "S256") => {
            check.ok("S256")
        }
        Some(methods) => check.failed(
            some_of(&methods.iter().map(ToString::to_string).collect::<Vec<_>>()),
            "offer S256 and nothing else",
        ),
        None => check.failed("not offered", "offer S256"),
    }
}

fn pkce(facts: &Facts<'_>) -> Finding {
    let check = Check("2.1.1, 4.5", "every code is asked for with PKCE");
    let wrong = those(facts, |c| c.grants.contains(&GrantType::AuthorizationCode) && !c.needs_pkce());
    check.none_of(&wrong, "every client must", "set `require_pkce` to true once they send a challenge")
}

fn implicit(facts: &Facts<'_>) -> Finding {
    let check = Check("2.1.2", "no access token in an authorization answer");
    let types = facts.metadata.get("response_types_supported").and_then(Value::as_array);
    let types = types.into_iter().flatten().filter_map(Value::as_str);
    let mut wrong: Vec<_> = types
        .filter(|kind| kind.split(' ').any(|part| part == "token" || part == "id_token"))
        .map(|kind| format!("response type `{kind}`"))
        .collect();
    if lists(facts, "grant_types_supported", "implicit") {
        wrong.push("grant `implicit`".to_owned());
    }
    check.none_of(&wrong, "`code` alone", "use authorization_code with PKCE")
}

fn sender_constrained(facts: &Facts<'_>) -> Finding {
    let check = Check("2.2.1, 4.10.1", "access tokens can be bound to a key (DPoP), and are where it is wanted");
    let wanted = those(facts, |client| client.dpop_bound);
    let offered = facts.metadata.get("dpop_signing_alg_values_supported").and_then(Value::as_array);
    if offered.is_none_or(Vec::is_empty) {
        return match wanted.is_empty() {
            true => check.warning("DPoP is not offered", "offer it"),
            false => check.failed(format!("not offered, and {} want it", some_of(&wanted)), "offer it"),
        };
    }
    if facts.config.oauth.dpop_nonces {
        return check.ok(format!("offered, with nonces; {} clients are always bound", wanted.len()));
    }
    let (found, todo) = ("proofs need no nonce: one made ahead is worth something", "set `oauth.dpop_nonces = true`");
    if wanted.is_empty() {
        return check.warning(found, todo);
    }
    check.failed(format!("{found}, to {} too", some_of(&wanted)), todo)
}

fn rotation_of_refresh_tokens(facts: &Facts<'_>) -> Finding {
    let check = Check("2.2.2, 4.14", "refresh tokens of public clients rotate or are bound to a key");
    let unbound = |client: &Client| {
        client.kind == ClientKind::Public && client.grants.contains(&GrantType::RefreshToken) && !client.dpop_bound
    };
    let (grace, users) = (facts.config.oauth.refresh_grace, those(facts, unbound));
    let found = format!("they rotate; a used one counts {} more", duration_text(grace));
    if grace <= LONGEST_GRACE {
        return check.ok(found);
    }
    let todo = "set `oauth.refresh_grace` to \"1m\", or bind the clients to keys (`dpop_bound`)";
    if users.is_empty() {
        check.warning(found, todo)
    } else {
        check.failed(format!("{found}: {}", some_of(&users)), todo)
    }
}

fn idle_refresh_tokens(facts: &Facts<'_>) -> Finding {
    let check = Check("4.14.2", "unused refresh tokens die");
    let oauth = &facts.config.oauth;
    let (idle, whole) = (oauth.refresh_token_ttl, oauth.grant_lifetime);
    let found = format!("after {}, at the latest after {}", duration_text(idle), duration_text(whole));
    if idle > LONGEST_IDLE || whole > YEAR {
        let todo = "shorten `oauth.refresh_token_ttl` to 90d and `oauth.grant_lifetime` to a year, or less";
        return check.failed(found, todo);
    }
    check.ok(found)
}

fn audience(facts: &Facts<'_>) -> Finding {
    let check = Check("2.3, 4.10.2", "every access token names the API it is for");
    let site = Site::of(facts.config);
    let wrong: Vec<_> = enabled(facts)
        .filter_map(|client| match client.default_resource.as_str() {
            "" => Some(format!("`{}` has no default", client.client_id)),
            uri if !site.knows(uri) => Some(format!("`{}` has `{uri}`, which nobody serves", client.client_id)),
            _ => None,
        })
        .collect();
    check.none_of(&wrong, "`aud` in every token", "set `default_resource` to the issuer or one of `oauth.resources`")
}

fn lifetime(facts: &Facts<'_>) -> Finding {
    let check = Check("2.3, 4.10", "access tokens that nobody looks up live short");
    let oauth = &facts.config.oauth;
    let opaque = |uri: &str| oauth.resources.iter().any(|api| api.id == uri && api.tokens == TokenFormat::Opaque);
    let mut wrong = Vec::new();
    let mut long = |what: String, ttl: Duration| {
        if ttl > LONGEST_JWT {
            wrong.push(format!("{what}: {}", duration_text(ttl)));
        }
    };
    long("`oauth.access_token_ttl`".to_owned(), oauth.access_token_ttl);
    for api in oauth.resources.iter().filter(|api| !opaque(&api.id)) {
        long(format!("`{}`", api.id), api.ttl.unwrap_or_default());
    }
    for client in enabled(facts) {
        let to_jwt = client.resources.iter().chain([&client.default_resource]).any(|uri| !opaque(uri));
        if to_jwt {
            long(format!("`{}`", client.client_id), client.access_token_ttl(Duration::ZERO));
        }
    }
    let good = format!("{}, nowhere more than 1h", duration_text(oauth.access_token_ttl));
    check.none_of(&wrong, good, "choose at most \"1h\", or `tokens = \"opaque\"` for the API: those are looked up")
}

fn power(facts: &Facts<'_>) -> Finding {
    let check = Check("2.3", "privileges are no larger than needed");
    let powerful = |client: &Client| {
        client.kind == ClientKind::Public && client.scopes.iter().any(|scope| scope == "admin" || scope == "pdp")
    };
    let wrong = those(facts, powerful);
    if wrong.is_empty() {
        return check.ok("no public client may ask for `admin` or `pdp`");
    }
    let todo = "anybody can pretend to be a public client: let policies ask for a person's role or second step too";
    check.warning(format!("{} may ask for `admin` or `pdp`", some_of(&wrong)), todo)
}

fn password_grant(facts: &Facts<'_>) -> Finding {
    let check = Check("2.4", "no client sees a password");
    let wrong: Vec<_> =
        lists(facts, "grant_types_supported", "password").then(|| "grant `password`".to_owned()).into_iter().collect();
    check.none_of(&wrong, "there is no password grant", "use authorization_code or the device flow")
}

fn client_authentication(facts: &Facts<'_>) -> Finding {
    let check = Check("2.5", "clients that can keep a secret authenticate, best with keys of their own");
    let confidential: Vec<_> = enabled(facts).filter(|client| client.kind == ClientKind::Confidential).collect();
    let by_secret: Vec<_> = confidential.iter().filter(|one| client::uses_secrets(one)).collect();
    let living = |one: &Client| one.secrets.iter().filter(|s| s.expires_at.is_none_or(|end| end > facts.now)).count();
    let none: Vec<_> =
        by_secret.iter().filter(|one| living(one) == 0).map(|one| format!("`{}`", one.client_id)).collect();
    if !none.is_empty() {
        let todo = "`stockade client rotate-secret ID` gives them one";
        return check.failed(format!("{} have no secret that works", some_of(&none)), todo);
    }
    let old = |one: &Client| {
        let lasting = one.secrets.iter().filter(|secret| secret.expires_at.is_none());
        lasting.map(|secret| facts.now.since(secret.created_at)).any(|age| age > YEAR)
    };
    let old: Vec<_> = by_secret.iter().filter(|one| old(one)).map(|one| format!("`{}`", one.client_id)).collect();
    if !old.is_empty() {
        let todo = "`stockade client rotate-secret ID`, or keys instead (`--jwks`)";
        return check.warning(format!("secrets older than a year: {}", some_of(&old)), todo);
    }
    let (secrets, keys) = (by_secret.len(), confidential.len() - by_secret.len());
    check.ok(format!("{secrets} by a generated secret, kept as a digest; {keys} by a key"))
}

fn assertion_keys(facts: &Facts<'_>) -> Finding {
    let check = Check("2.5", "keys of trusted issuers cannot be swapped on their way");
    let plain = |uri: &str| uri.starts_with("http://") && uri::called(uri).is_err();
    let issuers = &facts.config.oauth.trusted_issuers;
    let wrong: Vec<_> = issuers
        .iter()
        .filter(|issuer| matches!(&issuer.keys, IssuerKeys::Uri(uri) if plain(uri)))
        .map(|issuer| format!("`{}`", issuer.issuer))
        .collect();
    check.none_of(&wrong, format!("{} trusted issuers", issuers.len()), "use https for their `jwks_uri`")
}

fn introspection(facts: &Facts<'_>) -> Finding {
    let check = Check("2.5, RFC 7662 2.1", "introspection answers those alone who authenticate");
    let mut wrong: Vec<_> = those(facts, |client| client.kind == ClientKind::Public && !client.serves.is_empty())
        .into_iter()
        .map(|id| format!("{id} is public and serves an API: anybody could ask as it"))
        .collect();
    if lists(facts, "introspection_endpoint_auth_methods_supported", "none") {
        wrong.push("anybody may ask".to_owned());
    }
    check.none_of(
        &wrong,
        "authenticated clients, about their own tokens and those for their APIs",
        "make them confidential",
    )
}

fn issuer(facts: &Facts<'_>) -> Finding {
    let check = Check("2.6, 4.4", "the issuer is an https URL, and its metadata says so");
    let issuer = &facts.config.server.issuer;
    if facts.metadata.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return check.failed("the metadata names another issuer", "publish the metadata of this configuration");
    }
    let loopback = url::Url::parse(issuer).ok().and_then(|url| url.host_str().map(is_loopback)).unwrap_or(false);
    if issuer.starts_with("https://") || loopback {
        return check.ok(format!("`{issuer}`"));
    }
    check.failed(format!("`{issuer}` is not https"), "set `server.issuer` to an https URL")
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || host.starts_with("127.") || host == "[::1]"
}

fn tls(facts: &Facts<'_>) -> Finding {
    let check = Check("2.6", "nothing travels in clear beyond loopback");
    let (server, tls) = (&facts.config.server, facts.config.http.tls.is_some());
    let outside: Vec<_> = [server.listen, server.ops_listen]
        .into_iter()
        .filter(|address| !address.ip().to_canonical().is_loopback())
        .map(|address| address.to_string())
        .collect();
    match (outside.is_empty(), tls, server.behind_tls_proxy) {
        (true, false, _) => check.ok("the listeners are on loopback"),
        (_, true, _) => check.ok("TLS"),
        (false, false, true) => check.ok(format!("{}: a proxy terminates TLS, as configured", some_of(&outside))),
        (false, false, false) => check.failed(
            format!("{} without TLS", some_of(&outside)),
            "set [http.tls], or `server.behind_tls_proxy = true` when a proxy terminates it",
        ),
    }
}

fn proxies(facts: &Facts<'_>) -> Finding {
    let check = Check("4.13", "forwarding headers are believed of known proxies alone");
    let server = &facts.config.server;
    let wide: Vec<_> =
        server.trusted_proxies.iter().filter(|net| net.prefix_len() == 0).map(ToString::to_string).collect();
    if !wide.is_empty() {
        let todo = "name the proxies in `server.trusted_proxies`: anybody could claim any address";
        return check.failed(format!("{} is everybody", some_of(&wide)), todo);
    }
    if server.behind_tls_proxy && server.trusted_proxies.is_empty() {
        let todo = "name it in `server.trusted_proxies`: until then all clients share its address and its limits";
        return check.warning("a proxy terminates TLS, and none is known", todo);
    }
    check.ok(format!("{} networks", server.trusted_proxies.len()))
}

fn cors(facts: &Facts<'_>) -> Finding {
    let check = Check("2.6", "pages of known origins alone read tokens; the authorization endpoint has no CORS");
    let all = enabled(facts).flat_map(|client| client.cors_origins.iter().map(move |origin| (client, origin)));
    let count = all.clone().count();
    let wrong = all.filter_map(|(client, origin)| {
        let why = uri::origin(origin).err()?;
        Some(format!("`{}` has `{origin}`: {why}", client.client_id))
    });
    let wrong: Vec<_> = wrong.collect();
    check.none_of(&wrong, format!("{count} origins"), "list each origin in `cors_origins`, by https")
}

fn subjects(facts: &Facts<'_>) -> Finding {
    let check = Check("4.15", "no client can pass for a person");
    let wrong = those(facts, |client| client.client_id.starts_with("usr_"));
    check.none_of(&wrong, "ids of people begin with `usr_`, ids of clients never do", "register them under another id")
}

fn keys(facts: &Facts<'_>) -> Finding {
    let check = Check("keys", "signing keys rotate");
    let lifetime = facts.config.oauth.key_lifetime;
    if lifetime > YEAR {
        let found = format!("`oauth.key_lifetime` is {}", duration_text(lifetime));
        return check.failed(found, "choose a year or less: rotation costs nothing");
    }
    // A successor is made ahead of time: one that is a day late is not coming by itself.
    let late = facts.now.minus(Duration::from_secs(86_400));
    let settings = crate::live::keys::settings_of(&facts.config.oauth);
    let overdue = rotation::plan(facts.keys, &settings, late).into_iter().filter_map(|step| match step {
        rotation::Step::Generate { alg, .. } if facts.keys.iter().any(|key| key.alg == alg) => {
            Some(alg.as_str().to_owned())
        }
        _ => None,
    });
    let overdue: Vec<_> = overdue.collect();
    let good = format!("every {}", duration_text(lifetime));
    check.none_of(&overdue, good, "start the service: it rotates; or `stockade key rotate`")
}
