//! C13, C14: what clients read before they begin.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, header};
use serde_json::Value;
use stockade::crypto::rotation::{self, Step};
use stockade::model::Algorithm;

use super::fence::{Answer, Fence, ISSUER, START, wish};

const DOCUMENTS: [&str; 2] = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];
const PROTECTED: &str = "/.well-known/oauth-protected-resource";
const JWKS: &str = "/.well-known/jwks.json";

async fn with_header(fence: &Fence, path: &str, name: header::HeaderName, value: &str) -> Answer {
    fence.send(Request::get(path).header(name, value).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn c13_the_issuer_is_byte_for_byte_the_configured_one_for_any_host() {
    let fence = Fence::new().await;
    for path in DOCUMENTS {
        let plain = fence.get(path).await;
        assert_eq!(plain.status, 200);
        assert_eq!(plain.header(header::CONTENT_TYPE), Some("application/json"));
        assert_eq!(plain.json()["issuer"], ISSUER);
        for host in ["attacker.example", "issuer.example:8443", "localhost"] {
            let request = Request::get(path)
                .header(header::HOST, host)
                .header("x-forwarded-host", host)
                .header("forwarded", format!("host={host}"))
                .header("x-forwarded-proto", "http");
            let answer = fence.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(
                (answer.body, answer.headers.get(header::ETAG)),
                (plain.body.clone(), plain.headers.get(header::ETAG))
            );
        }
    }
}

#[tokio::test]
async fn c13_what_the_metadata_names_is_there() {
    let fence = Fence::new().await;
    let document = fence.get(DOCUMENTS[0]).await.json();
    assert_eq!(document, fence.get(DOCUMENTS[1]).await.json());
    for (member, value) in document.as_object().unwrap() {
        if member.ends_with("_endpoint") || member.ends_with("_uri") {
            let path = value.as_str().unwrap().strip_prefix(ISSUER).unwrap();
            // Without what they want they say so; 404 is what is not there.
            let status = fence.get(path).await.status.as_u16();
            assert!([200, 400, 401, 405].contains(&status), "{member}: {status}");
        }
    }
    assert_eq!(
        document["grant_types_supported"],
        serde_json::json!([
            "authorization_code",
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:device_code",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ])
    );
    let methods = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
    assert_eq!(document["introspection_endpoint_auth_methods_supported"], serde_json::json!(methods));
    for endpoint in ["token", "revocation"] {
        let member = &document[format!("{endpoint}_endpoint_auth_methods_supported")];
        assert_eq!(member, &serde_json::json!([&methods[..], &["none"]].concat()));
    }
    assert_eq!(document["response_types_supported"], serde_json::json!(["code"]));
    assert_eq!(document["code_challenge_methods_supported"], serde_json::json!(["S256"]));
    assert_eq!(document["request_uri_parameter_supported"], false, "which would be true if it were not said");
}

#[tokio::test]
async fn c13_an_issuer_with_a_path_is_described_at_the_place_that_rfc_8414_makes_of_it() {
    let mut wish = wish();
    wish.issuer = "https://issuer.example/auth/eu";
    let fence = Fence::with(wish).await;
    let mut bodies = Vec::new();
    for path in [
        "/.well-known/oauth-authorization-server/auth/eu",
        "/.well-known/openid-configuration/auth/eu",
        "/auth/eu/.well-known/openid-configuration",
        "/auth/eu/.well-known/oauth-authorization-server",
    ] {
        let answer = fence.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        bodies.push(answer.body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
    let document: Value = serde_json::from_slice(&bodies[0]).unwrap();
    assert_eq!(document["issuer"], "https://issuer.example/auth/eu");
    assert_eq!(document["token_endpoint"], "https://issuer.example/auth/eu/oauth/token");
    let form = [("grant_type", "client_credentials")];
    assert_eq!(fence.post("/auth/eu/oauth/token", Some("app"), &form).await.status, 200);
}

#[tokio::test]
async fn the_issuer_says_that_its_own_apis_take_its_own_tokens() {
    let fence = Fence::new().await;
    let said = fence.get(PROTECTED).await.json();
    assert_eq!((&said["resource"], &said["authorization_servers"][0]), (&ISSUER.into(), &ISSUER.into()));
    let mut wish = wish();
    wish.issuer = "https://issuer.example/auth";
    let fence = Fence::with(wish).await;
    let said = fence.get("/.well-known/oauth-protected-resource/auth").await.json();
    assert_eq!(said["resource"], "https://issuer.example/auth");
}

#[tokio::test]
async fn c14_documents_may_be_cached_and_revalidated() {
    let fence = Fence::new().await;
    for path in [DOCUMENTS[0], DOCUMENTS[1], PROTECTED, JWKS] {
        let answer = fence.get(path).await;
        assert_eq!(answer.header(header::CACHE_CONTROL), Some("public, max-age=300"), "{path}");
        let etag = answer.header(header::ETAG).unwrap().to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 10, "{etag}");
        for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
            let again = with_header(&fence, path, header::IF_NONE_MATCH, &known).await;
            assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path} {known}");
            assert_eq!(again.header(header::ETAG), Some(etag.as_str()));
            assert_eq!(again.header(header::CACHE_CONTROL), Some("public, max-age=300"));
        }
        assert_eq!(with_header(&fence, path, header::IF_NONE_MATCH, "\"other\"").await.status, 200);
        let head = fence.call(Method::HEAD, path).await;
        assert_eq!((head.status.as_u16(), head.header(header::ETAG)), (200, Some(etag.as_str())));
        let refused = fence.call(Method::POST, path).await;
        assert_eq!((refused.status.as_u16(), refused.header(header::ALLOW)), (405, Some("GET, HEAD")));
    }
}

#[tokio::test]
async fn c14_the_key_set_holds_public_members_only() {
    let fence = Fence::new().await;
    let set = fence.get(JWKS).await.json();
    let keys = set["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 3);
    for key in keys {
        let members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        let allowed = ["alg", "crv", "e", "kid", "kty", "n", "use", "x", "y"];
        assert!(members.iter().all(|m| allowed.contains(m)), "{members:?}");
        assert_eq!(key["use"], "sig");
        assert!(key["kid"].is_string() && key["alg"].is_string());
    }
}

#[tokio::test]
async fn c14_a_new_key_is_published_before_it_signs_and_the_old_one_stays() {
    let fence = Fence::new().await;
    let kids = |set: &Value| -> Vec<String> {
        set["keys"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|k| k["alg"] == "ES256")
            .map(|k| k["kid"].as_str().unwrap().to_owned())
            .collect()
    };
    let before = fence.get(JWKS).await;
    let old = kids(&before.json());
    let settings = rotation::Settings { algs: Algorithm::ALL.to_vec(), ..rotation::Settings::default() };
    let activates_at = START.plus(Duration::from_secs(300));
    fence.take_step(&Step::Generate { alg: Algorithm::ES256, activates_at }).await;
    fence.rotate(&settings).await;

    let published = fence.get(JWKS).await;
    assert_ne!(published.header(header::ETAG), before.header(header::ETAG));
    let both = kids(&published.json());
    assert_eq!((both.len(), both.contains(&old[0])), (2, true));
    let kid_of = |token: &str| {
        let header = stockade::crypto::b64url::decode_strict(token.split('.').next().unwrap()).unwrap();
        serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
    };
    fence.clock.set(START.plus(Duration::from_secs(299)));
    assert_eq!(kid_of(&fence.token("app", &[]).await), old[0], "not before every cache has the new key");
    fence.clock.set(activates_at);
    let new = kid_of(&fence.token("app", &[]).await);
    assert!(both.contains(&new) && new != old[0]);
    assert_eq!(kids(&fence.get(JWKS).await.json()).len(), 2, "until the last token of the old key has died");
    fence.clock.set(activates_at.plus(settings.keep));
    fence.rotate(&settings).await;
    assert_eq!(kids(&fence.get(JWKS).await.json()), [new]);
}
