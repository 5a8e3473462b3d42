//! What the endpoints do is counted, and stands at zero before.

use super::fence::{Fence, OPAQUE};

#[tokio::test]
async fn issued_refused_introspected_and_revoked_are_counted() {
    let fence = Fence::new().await;
    let series = [
        (r#"stockade_tokens_issued_total{grant="client_credentials",format="jwt"}"#, 2),
        (r#"stockade_tokens_issued_total{grant="client_credentials",format="opaque"}"#, 1),
        (r#"stockade_token_refusals_total{error="invalid_scope"}"#, 1),
        (r#"stockade_token_refusals_total{error="invalid_client"}"#, 1),
        (r#"stockade_client_authentications_total{method="client_secret_basic",outcome="allowed"}"#, 8),
        (r#"stockade_client_authentications_total{method="client_secret_post",outcome="denied"}"#, 1),
        (r#"stockade_introspections_total{active="true"}"#, 1),
        (r#"stockade_introspections_total{active="false"}"#, 2),
        ("stockade_revocations_total", 1),
        (r#"stockade_decisions_total{point="issuance",result="allowed"}"#, 3),
        (r#"stockade_limit_checks_total{bucket="client",result="allowed"}"#, 4),
    ];
    for (name, _) in series {
        assert_eq!(fence.counted(name), 0, "{name}");
    }
    let token = fence.token("app", &[]).await;
    fence.token("app", &[]).await;
    fence.token("app", &[("resource", OPAQUE)]).await;
    fence.ask("app", &[("scope", "nothing")]).await;
    let form = [("grant_type", "client_credentials"), ("client_id", "app"), ("client_secret", "x")];
    fence.post("/oauth/token", None, &form).await;
    fence.introspect("app", &token).await;
    fence.introspect("app", "x").await;
    fence.post("/oauth/revoke", Some("app"), &[("token", &token)]).await;
    fence.introspect("app", &token).await;
    for (name, expected) in series {
        assert_eq!(fence.counted(name), expected, "{name}");
    }
}
