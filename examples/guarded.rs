//! An axum app that guards itself: tokens, policies, rate tiers. `ISSUER` names the authorization server (such as the one
//! that `stockade dev` starts); the routes and what they need are in `policies/`.

use axum::{Router, extract::Extension, routing::get};
use stockade::enforce::{Admitted, Fence};

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "a program of its own reads its own environment")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let issuer = std::env::var("ISSUER").unwrap_or_else(|_| "http://localhost:8080".to_owned());
    let jwks = reqwest::get(format!("{issuer}/.well-known/jwks.json")).await?.json().await?;
    let fence = Fence::builder(issuer).jwks(jwks).policies("policies").build()?;

    let app = Router::new().route("/demo/notes", get(notes)).layer(fence.layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app.into_make_service_with_connect_info::<std::net::SocketAddr>()).await?;
    Ok(())
}

async fn notes(Extension(caller): Extension<Admitted>) -> String {
    format!("hello, {}\n", caller.principal.reference())
}
