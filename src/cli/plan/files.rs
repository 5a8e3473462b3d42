//! The files that declare.

use std::path::{Path, PathBuf};

use super::super::failure::Failure;
use crate::registry::declared::{Declared, Misdeclared};

/// Reads them all; mistakes in what they say are not failures yet, because there may be more.
pub(super) fn read(paths: &[PathBuf]) -> Result<(Declared, Vec<Misdeclared>), Failure> {
    let (mut declared, mut mistakes) = (Declared::default(), Vec::new());
    for file in all(paths)? {
        let text = std::fs::read_to_string(&file).map_err(|e| unreadable(&file, &e))?;
        mistakes.extend(declared.read(&file, &text));
    }
    Ok((declared, mistakes))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot read {}: {error}", path.display()))
}

/// The files that are named, and the `*.toml` of the directories that are, in the order of their names.
fn all(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        for entry in std::fs::read_dir(path).map_err(|e| unreadable(path, &e))? {
            let file = entry.map_err(|e| unreadable(path, &e))?.path();
            if file.extension().is_some_and(|end| end == "toml") && file.is_file() {
                files.push(file);
            }
        }
        if files.len() == before {
            return Err(Failure::usage(format!("{} has no *.toml: nothing is declared there", path.display())));
        }
        if let Some(found) = files.get_mut(before..) {
            found.sort();
        }
    }
    Ok(files)
}
