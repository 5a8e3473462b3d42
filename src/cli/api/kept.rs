//! A sign-in that is kept between commands: one file a server, mode 0600, under the user's configuration directory.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::failure::Failure;
use crate::base::Timestamp;
use crate::config;
use crate::crypto::{b64url, sha256};

/// What `stockade login` got.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Kept {
    pub(in crate::cli) server: String,
    pub(in crate::cli) client_id: String,
    pub(in crate::cli) access_token: String,
    pub(in crate::cli) expires_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) refresh_token: Option<String>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("server", &self.server).finish_non_exhaustive()
    }
}

/// `$XDG_CONFIG_HOME/stockade`, by default `~/.config/stockade` (XDG Base Directory Specification).
fn home() -> Result<PathBuf, Failure> {
    let environment = config::environment();
    let absolute = |name: &str| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    let missing = || Failure::usage("nowhere to keep the sign-in: set XDG_CONFIG_HOME or HOME");
    Ok(base.ok_or_else(missing)?.join("stockade"))
}

fn file(server: &str) -> Result<PathBuf, Failure> {
    let digest = sha256(server.as_bytes());
    let name = b64url::encode(digest.get(..12).unwrap_or(&digest));
    Ok(home()?.join("logins").join(format!("{name}.json")))
}

impl Kept {
    /// The sign-in at this server, if there is one.
    pub(in crate::cli) fn read(server: &str) -> Result<Option<Self>, Failure> {
        let file = file(server)?;
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Failure::usage(format!("cannot read {}: {e}", file.display()))),
        };
        let kept: Option<Self> = serde_json::from_str(&text).ok();
        Ok(kept.filter(|kept| kept.server == server))
    }

    /// Writes it, whole or not at all, for its owner's eyes.
    pub(in crate::cli) fn write(&self) -> Result<(), Failure> {
        let file = file(&self.server)?;
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        private_dir(file.parent().unwrap_or(Path::new("")))?;
        super::super::init::private(&file, &text)
    }

    /// Removes it; whether there was one.
    pub(in crate::cli) fn forget(server: &str) -> Result<bool, Failure> {
        let file = file(server)?;
        match fs::remove_file(&file) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Failure::failed(format!("cannot remove {}: {e}", file.display()))),
        }
    }
}

fn private_dir(dir: &Path) -> Result<(), Failure> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|e| Failure::failed(format!("cannot make {}: {e}", dir.display())))
}
