//! Generated secrets and opaque tokens as text: `stk_cs_…`, `stk_at_…`, `stk_rt_…`. The prefix lets scanners find a leaked one,
//! the checksum lets them (and us) tell a real one from a look-alike without asking the database.

use zeroize::Zeroizing;

use super::{b64url, sha256};
use crate::base::{Rng, Secret, rng};

/// What a secret text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A client's secret.
    ClientSecret,
    /// An opaque access token.
    AccessToken,
    /// An authorization code.
    AuthorizationCode,
    /// A refresh token.
    RefreshToken,
    /// A device code.
    DeviceCode,
    /// The end of a `request_uri`.
    PushedRequest,
    /// The cookie of a session.
    Session,
    /// What a client manages its own registration with.
    Registration,
}

/// Characters of 256 bits in base64url.
const BODY: usize = 43;
/// Characters of checksum: 36 bits of SHA-256 over prefix and body.
const CHECK: usize = 6;

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::ClientSecret,
        Self::AccessToken,
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::DeviceCode,
        Self::PushedRequest,
        Self::Session,
        Self::Registration,
    ];

    /// How texts of this kind begin.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::ClientSecret => "stk_cs_",
            Self::AccessToken => "stk_at_",
            Self::AuthorizationCode => "stk_ac_",
            Self::RefreshToken => "stk_rt_",
            Self::DeviceCode => "stk_dc_",
            Self::PushedRequest => "stk_pr_",
            Self::Session => "stk_ss_",
            Self::Registration => "stk_ra_",
        }
    }
}

fn checksum(front: &str) -> String {
    let digest = Zeroizing::new(sha256(front.as_bytes()));
    let mut text = b64url::encode(digest.get(..6).unwrap_or_default());
    text.truncate(CHECK);
    text
}

/// A new secret of 256 random bits.
pub fn generate(kind: Kind, random: &dyn Rng) -> Secret<String> {
    let bytes = Zeroizing::new(rng::bytes::<32>(random));
    let mut text = String::with_capacity(kind.prefix().len() + BODY + CHECK);
    text.push_str(kind.prefix());
    b64url::encode_onto(&*bytes, &mut text);
    let check = checksum(&text);
    text.push_str(&check);
    Secret::new(text)
}

/// The kind of `text` when it is well formed and its checksum fits; it may still be unknown.
pub fn check(text: &str) -> Option<Kind> {
    let kind = Kind::ALL.into_iter().find(|k| text.starts_with(k.prefix()))?;
    if text.len() != kind.prefix().len() + BODY + CHECK {
        return None;
    }
    let (front, check) = text.split_at_checked(kind.prefix().len() + BODY)?;
    b64url::decode_array::<32>(front.get(kind.prefix().len()..)?)?;
    (checksum(front) == check).then_some(kind)
}

/// What is stored instead of the text: its SHA-256. Enough, because the text holds 256 random bits.
pub fn digest(text: &str) -> [u8; 32] {
    sha256(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::SeededRng;

    #[test]
    fn a_generated_secret_has_its_prefix_and_checks() {
        for kind in Kind::ALL {
            let secret = generate(kind, &SeededRng::new(7));
            assert!(secret.expose().starts_with(kind.prefix()));
            assert_eq!(secret.expose().len(), 56);
            assert_eq!(check(secret.expose()), Some(kind));
        }
    }

    #[test]
    fn look_alikes_do_not_check() {
        let real = generate(Kind::ClientSecret, &SeededRng::new(7)).expose().clone();
        let cut = real.get(..55).unwrap();
        for other in ["", "stk_cs_", "stk_xx_", cut, &format!("{real}A"), &real.replacen("cs", "at", 1)] {
            assert_eq!(check(other), None, "`{other}`");
        }
    }

    proptest! {
        #[test]
        fn one_changed_character_is_noticed(seed in any::<u64>(), at in 7..56_usize, to in "[A-Za-z0-9_-]") {
            let mut text = generate(Kind::AccessToken, &SeededRng::new(seed)).expose().clone();
            if text.get(at..=at) != Some(&to) {
                text.replace_range(at..=at, &to);
                prop_assert_eq!(check(&text), None);
            }
        }

        #[test]
        fn arbitrary_text_never_panics_and_hardly_ever_checks(text in "\\PC{0,80}") {
            prop_assert_eq!(check(&text), None);
        }
    }
}
