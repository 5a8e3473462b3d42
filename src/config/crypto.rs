//! `[crypto]`: the keys that seal secrets at rest.

use base64::Engine as _;

use super::reader::Reader;
use crate::base::Secret;

/// `[crypto]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Crypto {
    /// The first seals, all of them open. Each is 32 bytes in base64 or a text of at least 32 characters. Never empty once
    /// loaded.
    pub seal_keys: Vec<Secret<String>>,
}

impl Crypto {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let seal_keys = r.secrets("crypto.seal_keys");
        if seal_keys.is_empty() {
            r.wrong(
                "crypto.seal_keys",
                "there is none: name a configuration with --config, or `stockade init DIR` makes one with a fresh key",
            );
        }
        for (i, key) in seal_keys.iter().enumerate() {
            if !is_strong(key.expose()) {
                r.wrong(
                    "crypto.seal_keys",
                    format!("number {} is too short: 32 bytes in base64, or 32 characters", i + 1),
                );
            }
        }
        Self { seal_keys }
    }
}

fn is_strong(key: &str) -> bool {
    key.chars().count() >= 32
        || base64::engine::general_purpose::STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 32)
}
