//! `stockade init`: a directory to start from.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;

use super::failure::Failure;
use super::output;
use crate::base::{SystemRng, rng};
use crate::{config, policy};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory, made when it is not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let dir = &args.dir;
    let file = dir.join(config::FILE_NAME);
    if file.exists() {
        let file = file.display();
        return Err(Failure::failed(format!(
            "{file} exists and is left as it is: edit it, or choose another directory"
        )));
    }
    let policies = dir.join("policies");
    write_policies(&policies)?;
    private(&file, &starter())?;
    output::line(format!("wrote {} and {}", file.display(), policies.display()))?;
    output::note(format!(
        "next: set `server.issuer`, then `stockade check --config {file}`, \
         `stockade client create --config {file} --id ID --grant client_credentials --scope SCOPE`, \
         and `stockade serve --config {file}`",
        file = file.display()
    ));
    Ok(())
}

/// The reference, with the seal key and the policies filled in.
fn starter() -> String {
    let seal = format!("seal_keys = [\"{}\"]", seal_key());
    config::REFERENCE.replace("seal_keys = []", &seal).replace("dir = \"\"", "dir = \"policies\"")
}

/// A fresh key to seal secrets at rest with.
pub(super) fn seal_key() -> String {
    base64::engine::general_purpose::STANDARD.encode(rng::bytes::<32>(&SystemRng))
}

/// Writes the shipped policies. What is there already is left as it is.
pub(super) fn write_policies(dir: &Path) -> Result<(), Failure> {
    for (path, text) in policy::embedded() {
        let target = dir.join(path);
        if target.exists() {
            continue;
        }
        let parent = target.parent().unwrap_or(dir);
        let written = fs::create_dir_all(parent).and_then(|()| fs::write(&target, text));
        written.map_err(|e| Failure::failed(format!("cannot write {}: {e}", target.display())))?;
    }
    Ok(())
}

/// Writes a file that holds a secret: whole or not at all, for its owner's eyes.
pub(super) fn private(file: &Path, text: &str) -> Result<(), Failure> {
    let wrong = |e: std::io::Error| Failure::failed(format!("cannot write {}: {e}", file.display()));
    let draft = file.with_extension(format!("{}.new", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(&draft).map_err(wrong)?;
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(wrong)?;
    fs::rename(&draft, file).map_err(wrong)
}
