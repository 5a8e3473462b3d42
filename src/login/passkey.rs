//! Passkeys (WebAuthn Level 3). Nobody types a name: the authenticator knows whose key it holds, so nothing is told about who
//! has one. The user must be verified, the origin must be ours to the letter, and a challenge counts once.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use webauthn_rs::prelude::{
    AuthenticationResult, CredentialID, DiscoverableAuthentication, DiscoverableKey, Passkey, PasskeyRegistration,
    PublicKeyCredential, RegisterPublicKeyCredential, Url, Uuid, Webauthn, WebauthnBuilder,
};

use super::Ctx;
use super::pages::PasskeyForm;
use crate::base::{Rng, Timestamp, id};
use crate::crypto::seal::Sealer;
use crate::crypto::{CryptoError, b64url};
use crate::model::User;
use crate::store::{StoreError, Tx, assertions};

/// How long a challenge counts.
const LIFETIME: Duration = Duration::from_secs(300);
/// Under which name used challenges are remembered beside used assertions.
const USED: &str = "login:webauthn";

/// Asks for passkeys and checks them.
#[derive(Debug)]
pub(super) struct Passkeys {
    webauthn: Webauthn,
    /// Our origin, as browsers write it.
    origin: String,
}

/// What comes back to us with the answer, sealed.
#[derive(Serialize, Deserialize)]
struct State<T> {
    at: Timestamp,
    state: T,
}

/// What the browser signed over (WebAuthn 5.8.1), as far as we look at it ourselves.
#[derive(Deserialize)]
struct ClientData {
    challenge: String,
    origin: String,
}

/// A challenge that was answered: to be used up in the transaction that the answer leads to.
#[derive(Debug)]
pub(super) struct Answered {
    challenge: String,
    dies: Timestamp,
}

impl Answered {
    /// True for the first answer alone.
    pub(super) async fn use_up(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        assertions::claim(tx, USED, &self.challenge, self.dies).await
    }
}

/// Somebody's answer to a sign-in challenge, not yet checked.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) user_id: String,
    answered: Answered,
    credential: PublicKeyCredential,
    state: DiscoverableAuthentication,
}

/// The answer of an authenticator, which does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotAccepted;

impl Passkeys {
    /// For the issuer's host; `None` where browsers have no passkeys: at an address instead of a name.
    pub(super) fn new(ctx: &Ctx) -> Option<Self> {
        let url = Url::parse(ctx.site.origin()).ok()?;
        let host = url.domain()?.to_owned();
        let built = WebauthnBuilder::new(&host, &url).and_then(|builder| builder.rp_name(&host).build());
        match built {
            Ok(webauthn) => Some(Self { webauthn, origin: url.origin().ascii_serialization() }),
            Err(error) => {
                tracing::warn!(%error, "no passkeys at this issuer");
                None
            }
        }
    }

    /// A sign-in challenge.
    pub(super) fn ask(&self, ctx: &Ctx, action: String) -> Result<PasskeyForm, CryptoError> {
        let (options, state) = self.webauthn.start_discoverable_authentication().map_err(|_| CryptoError::Refused)?;
        let mut options = serde_json::to_value(options).map_err(|_| CryptoError::Refused)?;
        if let Some(options) = options.as_object_mut() {
            // Our page has a button for it.
            options.remove("mediation");
        }
        let state = seal(&ctx.sealer, &place(ctx, "sign-in"), State { at: ctx.clock.now(), state }, &*ctx.rng)?;
        Ok(PasskeyForm { action, options: options.to_string(), state })
    }

    /// Whose answer this is, before anything about it is checked but where and when it was given.
    pub(super) fn claimed(&self, ctx: &Ctx, state: &str, answer: &str) -> Result<Claimed, NotAccepted> {
        let sealed: State<DiscoverableAuthentication> = open(ctx, &place(ctx, "sign-in"), state)?;
        let credential: PublicKeyCredential = serde_json::from_str(answer).map_err(|_| NotAccepted)?;
        let answered = self.answered(sealed.at, &credential.response.client_data_json)?;
        let identified = self.webauthn.identify_discoverable_authentication(&credential);
        let (number, _) = identified.map_err(|_| NotAccepted)?;
        let user_id = id::from_number("usr", number.as_u128());
        Ok(Claimed { user_id, answered, credential, state: sealed.state })
    }

    /// Checks the answer against the passkeys of the person it claims to be of: which one, and its new state.
    pub(super) fn check<'a, T>(
        &self,
        claimed: Claimed,
        passkeys: impl IntoIterator<Item = (T, &'a Passkey)>,
    ) -> Result<(T, AuthenticationResult, Answered), NotAccepted> {
        let credential = &claimed.credential;
        let mut all = passkeys.into_iter();
        let (which, passkey) =
            all.find(|(_, passkey)| passkey.cred_id().as_slice() == credential.raw_id.as_slice()).ok_or(NotAccepted)?;
        let key = DiscoverableKey::from(passkey);
        let result = self.webauthn.finish_discoverable_authentication_v2(credential, claimed.state, key);
        let result = result.map_err(|error| {
            tracing::info!(%error, "a passkey was not accepted");
            NotAccepted
        })?;
        if result.user_verified() { Ok((which, result, claimed.answered)) } else { Err(NotAccepted) }
    }

    /// A challenge to make a passkey for `user`, not on an authenticator that has one of `known`.
    pub(super) fn offer(
        &self,
        ctx: &Ctx,
        user: &User,
        known: Vec<CredentialID>,
        action: String,
    ) -> Result<PasskeyForm, CryptoError> {
        let number = id::number("usr", &user.user_id).ok_or(CryptoError::Refused)?;
        let name = user.name.as_deref().unwrap_or(&user.username);
        let started =
            self.webauthn.start_passkey_registration(Uuid::from_u128(number), &user.username, name, Some(known));
        let (options, state) = started.map_err(|_| CryptoError::Refused)?;
        let mut options = serde_json::to_value(options).map_err(|_| CryptoError::Refused)?;
        // Nobody types a name at sign-in, so the authenticator must know it.
        if let Some(wishes) = options.pointer_mut("/publicKey/authenticatorSelection").and_then(|w| w.as_object_mut()) {
            wishes.insert("residentKey".to_owned(), "required".into());
            wishes.insert("requireResidentKey".to_owned(), true.into());
        }
        let sealed = State { at: ctx.clock.now(), state };
        let state = seal(&ctx.sealer, &place(ctx, &user.user_id), sealed, &*ctx.rng)?;
        Ok(PasskeyForm { action, options: options.to_string(), state })
    }

    /// The new passkey of `user_id`, who must be the person the challenge was made for.
    pub(super) fn made(
        &self,
        ctx: &Ctx,
        user_id: &str,
        state: &str,
        answer: &str,
    ) -> Result<(Passkey, Answered), NotAccepted> {
        let sealed: State<PasskeyRegistration> = open(ctx, &place(ctx, user_id), state)?;
        let credential: RegisterPublicKeyCredential = serde_json::from_str(answer).map_err(|_| NotAccepted)?;
        let answered = self.answered(sealed.at, &credential.response.client_data_json)?;
        let passkey = self.webauthn.finish_passkey_registration(&credential, &sealed.state).map_err(|error| {
            tracing::info!(%error, "a new passkey was not accepted");
            NotAccepted
        })?;
        Ok((passkey, answered))
    }

    /// That the browser answered at our origin, to the letter, and which challenge.
    fn answered(&self, at: Timestamp, client_data: &[u8]) -> Result<Answered, NotAccepted> {
        let data: ClientData = serde_json::from_slice(client_data).map_err(|_| NotAccepted)?;
        if data.origin != self.origin {
            return Err(NotAccepted);
        }
        Ok(Answered { challenge: data.challenge, dies: at.plus(LIFETIME) })
    }
}

fn place(ctx: &Ctx, of: &str) -> String {
    format!("webauthn:{}:{of}", ctx.site.issuer())
}

fn seal<T: Serialize>(sealer: &Sealer, place: &str, state: T, random: &dyn Rng) -> Result<String, CryptoError> {
    let plain = serde_json::to_vec(&state).map_err(|_| CryptoError::Refused)?;
    Ok(b64url::encode(&sealer.seal_often(place.as_bytes(), &plain, random)?))
}

fn open<T: DeserializeOwned>(ctx: &Ctx, place: &str, state: &str) -> Result<State<T>, NotAccepted> {
    let sealed = b64url::decode_strict(state).ok_or(NotAccepted)?;
    let plain = ctx.sealer.open(place.as_bytes(), &sealed).map_err(|_| NotAccepted)?;
    let state: State<T> = serde_json::from_slice(plain.expose()).map_err(|_| NotAccepted)?;
    if ctx.clock.now() < state.at.plus(LIFETIME) { Ok(state) } else { Err(NotAccepted) }
}
