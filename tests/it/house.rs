//! The arrows of the house (see the crate's docs): a module imports only what stands to its left, and the heavy crates
//! stay in their rooms. In one package nothing else would keep it so.

use std::fs;
use std::path::{Path, PathBuf};

/// Left to right; names on one line are on one level and do not import each other.
const LEVELS: &[&[&str]] = &[
    &["base"],
    &["model"],
    &["config"],
    &["telemetry"],
    &["store", "crypto", "policy", "limits"],
    &["live", "audit_log", "registry"],
    &["accounts", "doctor"],
    &["http"],
    &["oauth", "login", "enforce", "access", "audit", "findings", "manage"],
    &["ticks"],
    &["app"],
    &["cli"],
    &["main"],
];

/// Names that may stand only under these top-level modules.
const AT_HOME: &[(&str, &[&str])] = &[
    ("sqlx::", &["store"]),
    ("cedar_policy::", &["policy"]),
    ("axum::", &["http", "oauth", "login", "enforce", "access", "audit", "findings", "manage", "app"]),
    ("argon2::", &["crypto"]),
    ("aws_sdk_", &["findings"]),
    ("webauthn_rs::", &["login"]),
    ("std::env::", &["config"]),
    ("println!", &["cli", "main"]),
    ("process::exit", &["cli", "main"]),
    ("SystemTime::now", &["base"]),
    ("Instant::now", &["base"]),
];

fn level(module: &str) -> Option<usize> {
    LEVELS.iter().position(|names| names.contains(&module))
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("src is readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The lines of a file that are part of the product: no comments, nothing from `mod tests` on.
fn product_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text.get(..end)
        .unwrap_or_default()
        .lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line.split("//").next().unwrap_or_default()))
}

fn imported(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    })
}

#[test]
fn no_arrow_runs_backwards() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&src).expect("under src");
        let module = inside.iter().next().and_then(|name| name.to_str()).unwrap_or_default().trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some(here) = level(module) else {
            wrong.push(format!("src/{}: `{module}` has no place in the house: add it to LEVELS", inside.display()));
            continue;
        };
        let text = fs::read_to_string(&file).expect("readable");
        for (number, line) in product_lines(&text) {
            for name in imported(line).filter(|name| *name != module) {
                if level(name).is_some_and(|there| there >= here) {
                    wrong.push(format!("src/{}:{number}: `{module}` imports `{name}`", inside.display()));
                }
            }
            for (name, homes) in AT_HOME.iter().filter(|(name, _)| line.contains(name)) {
                if !homes.contains(&module) {
                    wrong.push(format!("src/{}:{number}: `{name}` belongs to {homes:?}", inside.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_backward_arrow_would_be_seen() {
    let names: Vec<_> = imported("use crate::store::Store; let x = crate::cli::run();").collect();
    assert_eq!(names, ["store", "cli"]);
    assert!(level("base") < level("store") && level("store") < level("oauth"));
    let lines: Vec<_> = product_lines("a // crate::x\n#[cfg(test)]\nmod tests { crate::y }").collect();
    assert_eq!(lines, [(1, "a ")]);
}

#[test]
fn e17_rsa_is_left_to_aws_lc_rs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).expect("readable");
        let uses = |line: &str| line.trim_start().starts_with("use rsa::") || line.contains(" rsa::traits");
        assert!(!product_lines(&text).any(|(_, line)| uses(line)), "{}", file.display());
    }
    let manifest: toml::Table = fs::read_to_string(root.join("Cargo.toml")).expect("readable").parse().expect("TOML");
    assert!(!manifest["dependencies"].as_table().expect("a table").contains_key("rsa"), "RUSTSEC-2023-0071");
}
