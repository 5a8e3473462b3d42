//! Tokens that must not be believed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::bad_input::{deep, unharmed};
use super::stage::Stage;
use super::wire::claims;

/// Made from a token that is to be believed.
fn forgeries(token: &str) -> Vec<(&'static str, String)> {
    let parts: Vec<&str> = token.split('.').collect();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).expect("base64url")).expect("JSON");
    let with_header = |change: &dyn Fn(&mut Value)| {
        let mut header = header.clone();
        change(&mut header);
        format!("{}.{}.{}", encode(&header), parts[1], parts[2])
    };
    let with_claims = |change: &dyn Fn(&mut Value)| {
        let mut body = claims(token);
        change(&mut body);
        format!("{}.{}.{}", parts[0], encode(&body), parts[2])
    };
    let none = |alg: &str| format!("{}.{}.", encode(&json!({"typ": "at+jwt", "alg": alg})), parts[1]);
    let mut flipped = token.to_owned().into_bytes();
    let middle = token.len() - 20;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    vec![
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("alg HS256", with_header(&|h| h["alg"] = json!("HS256"))),
        ("alg RS256", with_header(&|h| h["alg"] = json!("RS256"))),
        ("unknown alg", with_header(&|h| h["alg"] = json!("XX999"))),
        ("alg is a number", with_header(&|h| h["alg"] = json!(7))),
        ("unknown kid", with_header(&|h| h["kid"] = json!("../../dev/null"))),
        ("typ JWT", with_header(&|h| h["typ"] = json!("JWT"))),
        ("own key in the header", with_header(&|h| h["jwk"] = json!({"kty": "oct", "k": "AAAA"}))),
        ("key by address", with_header(&|h| h["jku"] = json!("http://127.0.0.1/keys"))),
        ("crit", with_header(&|h| h["crit"] = json!(["exp"]))),
        ("later exp", with_claims(&|c| c["exp"] = json!(99_999_999_999_u64))),
        ("exp is text", with_claims(&|c| c["exp"] = json!("never"))),
        ("another client", with_claims(&|c| c["client_id"] = json!("admin"))),
        ("more scope", with_claims(&|c| c["scope"] = json!("admin"))),
        ("one bit", String::from_utf8(flipped).expect("ASCII")),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{token}.AAAA")),
        ("deep header", format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(deep(5000)), parts[1], parts[2])),
        ("padding", format!("{token}==")),
        ("empty parts", "..".to_owned()),
        ("a client secret", "stk_cs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAaaaaaa".to_owned()),
        ("an opaque token", "stk_at_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAaaaaaa".to_owned()),
        ("long", "A".repeat(6000)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_tokens_open_nothing_and_are_inactive() {
    let stage = Stage::dev().await;
    let notes = format!("{}/notes", stage.var("API"));
    let token = stage.token("DEMO", Some(stage.var("API"))).await;
    assert_eq!(stage.send(stage.get(&notes, &token)).await.status, 200);
    for (what, forged) in forgeries(&token) {
        let answer = stage.send(stage.get(&notes, &forged)).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text);
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("Bearer") && challenge.contains("invalid_token"), "{what}: {challenge}");
        assert!(!stage.is_active("DEMO", &forged).await, "{what}");
        let answer = stage.send(stage.form_as("DEMO", "/oauth/revoke", &[("token", &forged)])).await;
        let unsupported = answer.status == 400 && answer.json()["error"] == "unsupported_token_type";
        assert!(answer.status == 200 || unsupported, "RFC 7009 2.2, {what}: {} {}", answer.status, answer.text);
    }
    // Of the right kind, and yet not for this API, or not for this act.
    let admin = stage.token("ADMIN", None).await;
    if claims(&admin)["aud"] != stage.var("API") {
        assert_eq!(stage.send(stage.get(&notes, &admin)).await.status, 401, "another audience's token");
    }
    assert_eq!(stage.send(stage.get("/api/v1/audit/events", &token)).await.status, 401, "the demo API's token");
    unharmed(stage).await;
}
