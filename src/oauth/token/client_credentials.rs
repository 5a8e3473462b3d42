//! The client credentials grant (RFC 6749 4.4): a client asks for itself.

use std::sync::Arc;

use axum::response::Response;

use super::own;
use crate::live::LiveClient;
use crate::model::{ClientKind, GrantType};
use crate::oauth::error::Error;
use crate::oauth::form::Form;
use crate::oauth::record::{Asked, Refusal};

pub(super) async fn grant(asked: &Asked<'_>, client: &Arc<LiveClient>, form: &Form<'_>) -> Result<Response, Refusal> {
    if client.client.kind == ClientKind::Public {
        return Err(Error::UnauthorizedClient.to(client));
    }
    own::token(asked, client, form, GrantType::ClientCredentials, None, |event| event).await
}
