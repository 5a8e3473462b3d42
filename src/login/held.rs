//! What a person can prove themselves with, as it is stored.

use webauthn_rs::prelude::Passkey;

use super::{Ctx, Providers};
use crate::crypto::seal::Sealer;
use crate::crypto::totp::Seed;
use crate::model::{Credential, CredentialKind, UpstreamLink};
use crate::store::{Handle, StoreError, credentials};

/// Everything that one person holds.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<Credential>);

impl Held {
    /// What `user_id` holds; of nobody, nothing, at the same cost.
    pub(super) async fn of(handle: &mut impl Handle, user_id: &str) -> Result<Self, StoreError> {
        credentials::of_user(handle, user_id).await.map(Self)
    }

    pub(super) fn all(&self, kind: CredentialKind) -> impl Iterator<Item = &Credential> {
        self.0.iter().filter(move |credential| credential.kind == kind)
    }

    pub(super) fn has(&self, kind: CredentialKind) -> bool {
        self.all(kind).next().is_some()
    }

    pub(super) fn password(&self) -> Option<&Credential> {
        self.all(CredentialKind::Password).last()
    }

    /// The PHC string of the password.
    pub(super) fn password_hash(&self) -> Option<&str> {
        std::str::from_utf8(&self.password()?.body).ok()
    }

    /// The authenticator app, with its seed. `None` also when the seed does not open: then it proves nothing.
    pub(super) fn totp(&self, sealer: &Sealer) -> Option<(&Credential, Seed)> {
        let credential = self.all(CredentialKind::Totp).last()?;
        let opened = sealer.open(place(credential.kind, &credential.credential_id).as_bytes(), &credential.body);
        match opened {
            Ok(seed) => Some((credential, Seed::from_bytes(seed.expose().clone()))),
            Err(error) => {
                tracing::error!(%error, credential = credential.credential_id, "a seed does not open");
                None
            }
        }
    }

    /// Passkeys that open.
    pub(super) fn passkeys(&self, sealer: &Sealer) -> Vec<(&Credential, Passkey)> {
        let open = |credential: &Credential| {
            let plain =
                sealer.open(place(credential.kind, &credential.credential_id).as_bytes(), &credential.body).ok()?;
            serde_json::from_slice(plain.expose()).ok()
        };
        self.all(CredentialKind::Passkey).filter_map(|credential| Some((credential, open(credential)?))).collect()
    }
}

/// How many ways in somebody has: a password, passkeys, accounts at providers that are still there.
pub(super) fn ways_in(held: &Held, links: &[UpstreamLink], providers: &Providers) -> usize {
    let own = [CredentialKind::Password, CredentialKind::Passkey].into_iter().map(|kind| held.all(kind).count());
    let elsewhere = links.iter().filter(|link| providers.by_issuer(&link.issuer).is_some()).count();
    own.sum::<usize>() + elsewhere
}

/// Where a sealed credential belongs: it opens nowhere else.
pub(super) fn place(kind: CredentialKind, credential_id: &str) -> String {
    format!("{}:{credential_id}", kind.as_str())
}

impl Ctx {
    /// A new credential of `user_id`, its `body` sealed when `sealed`.
    pub(super) fn credential(
        &self,
        user_id: &str,
        kind: CredentialKind,
        label: &str,
        body: &[u8],
    ) -> Result<Credential, crate::crypto::CryptoError> {
        let now = self.clock.now();
        let credential_id = crate::base::id::new("cred", now, &*self.rng);
        let body = match kind {
            CredentialKind::Password | CredentialKind::Recovery => body.to_vec(),
            CredentialKind::Passkey | CredentialKind::Totp => {
                self.sealer.seal(place(kind, &credential_id).as_bytes(), body, &*self.rng)?
            }
        };
        Ok(Credential {
            credential_id,
            user_id: user_id.to_owned(),
            kind,
            label: label.to_owned(),
            body,
            last_step: None,
            created_at: now,
            last_used_at: None,
        })
    }
}
