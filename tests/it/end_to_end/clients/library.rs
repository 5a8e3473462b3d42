//! The `openidconnect` crate signs people in, whatever its ID tokens are signed with.

use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreJwsSigningAlgorithm, CoreProviderMetadata};
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, RedirectUrl, Scope, TokenResponse as _,
};
use serde_json::json;

use super::Scene;
use super::person::Person;

const BACK: &str = "https://rust.example/cb";

/// Sends what the library asks for, and notes what nobody else may see.
async fn send(scene: &Scene, request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let (parts, body) = request.into_parts();
    scene.seen.keep_headers(&parts.headers);
    scene.seen.keep_pairs(&String::from_utf8_lossy(&body));
    let request = scene.stage.http.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
    let answer = request.send().await?;
    let mut response = http::Response::builder().status(answer.status());
    *response.headers_mut().expect("headers") = answer.headers().clone();
    let body = answer.bytes().await?.to_vec();
    scene.seen.keep_json(&body);
    Ok(response.body(body).expect("a response"))
}

async fn signs_in(scene: &Scene, ada: &Person<'_>, sub: &str, name: &str, alg: CoreJwsSigningAlgorithm) {
    let made = scene
        .client(json!({
            "client_id": name, "id_token_alg": name, "grants": ["authorization_code", "refresh_token"],
            "scopes": ["openid", "profile", "email"], "redirect_uris": [BACK],
        }))
        .await;
    let http = |request: HttpRequest| send(scene, request);
    let issuer = IssuerUrl::new(scene.stage.issuer.clone()).expect("an issuer");
    let metadata = CoreProviderMetadata::discover_async(issuer, &http).await.expect("it is discovered");
    assert!(metadata.id_token_signing_alg_values_supported().contains(&alg));
    let secret = ClientSecret::new(made["client_secret"].as_str().expect("a secret").to_owned());
    let client = CoreClient::from_provider_metadata(metadata, ClientId::new(name.to_owned()), Some(secret))
        .set_redirect_uri(RedirectUrl::new(BACK.to_owned()).expect("a URI"));

    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
        .add_scopes(["profile", "email"].map(|scope| Scope::new(scope.to_owned())))
        .set_pkce_challenge(challenge)
        .url();
    let back = ada.through(url.as_str()).await.left.expect("it leads back to the client");
    let told = |name: &str| back.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value.into_owned());
    assert_eq!(told("state").as_ref(), Some(state.secret()), "{back}");
    let code = AuthorizationCode::new(told("code").expect("a code"));
    let exchange = client.exchange_code(code).expect("an endpoint").set_pkce_verifier(verifier);
    let tokens = exchange.request_async(&http).await.expect("tokens");

    let verifier = client.id_token_verifier().set_allowed_algs([alg.clone()]);
    let id_token = tokens.id_token().expect("an ID token");
    let claims = id_token.claims(&verifier, &nonce).expect("it is valid");
    assert_eq!((claims.subject().as_str(), claims.auth_context_ref().map(|acr| acr.as_str())), (sub, Some("1")));
    let key = id_token.signing_key(&verifier).expect("a key");
    let hash = AccessTokenHash::from_token(tokens.access_token(), &alg, key).expect("a hash");
    // No standard says which hash goes with EdDSA.
    let expected = (name != "EdDSA").then_some(&hash);
    assert_eq!(expected, claims.access_token_hash(), "{name}");
    assert!(id_token.claims(&verifier, &Nonce::new_random()).is_err(), "another request's");

    let asked = client.user_info(tokens.access_token().clone(), Some(claims.subject().clone())).expect("an endpoint");
    let userinfo: openidconnect::core::CoreUserInfoClaims = asked.request_async(&http).await.expect("claims");
    assert_eq!(userinfo.email().map(|email| email.as_str()), Some("ada@example.com"));
    assert_eq!(userinfo.preferred_username().map(|name| name.as_str()), Some("ada"));

    let refresh = tokens.refresh_token().expect("a refresh token");
    let again =
        client.exchange_refresh_token(refresh).expect("an endpoint").request_async(&http).await.expect("tokens");
    assert_ne!(again.access_token().secret(), tokens.access_token().secret());
    let no_nonce = |nonce: Option<&Nonce>| nonce.is_none().then_some(()).ok_or_else(|| "it has a nonce".to_owned());
    let anew = again.id_token().expect("an ID token").claims(&verifier, no_nonce).expect("it is valid");
    assert_eq!((anew.subject(), anew.auth_time()), (claims.subject(), claims.auth_time()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openidconnect_crate_signs_people_in_by_every_signature() {
    let scene = Scene::new().await;
    let made = scene.person(json!({ "username": "ada", "email": "ada@example.com" })).await;
    let (sub, password) = (made["user_id"].as_str().expect("an id"), made["password"].as_str().expect("a password"));
    let ada = Person::new(&scene.seen, &scene.stage.http, "ada", password);
    let by = |name, alg| signs_in(&scene, &ada, sub, name, alg);
    by("RS256", CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256).await;
    by("ES256", CoreJwsSigningAlgorithm::EcdsaP256Sha256).await;
    by("EdDSA", CoreJwsSigningAlgorithm::EdDsa).await;
    drop(ada);
    scene.end().await;
}
