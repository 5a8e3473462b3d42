//! Looks for secrets wherever a server may have left them: in its log, metrics, files, databases and audit log; as they are, in
//! base64 at any offset, percent-encoded, whole or in part.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::stage::Stage;

/// A longer secret is looked for in parts of this length too: a database may break it at the end of a page.
const PART: usize = 32;

/// Ends the server and looks for `secrets` in everything it left.
pub(super) async fn none_of(secrets: &[String], stage: &Stage) {
    let places = left_behind(stage).await;
    assert!(places.iter().any(|(name, bytes)| name.ends_with(".db") && !bytes.is_empty()), "no database was searched");
    // What is there is found: a grant, in the log's export and among what clients are registered for.
    let control = found(&["client_credentials".to_owned()], &places);
    for place in ["audit export", "stockade.db"] {
        assert!(control.iter().any(|found| found.contains(place)), "the search is blind in {place}: {control:?}");
    }
    let found = found(secrets, &places);
    assert!(found.is_empty(), "secrets in clear:\n{}", found.join("\n"));
}

/// Everything a server leaves behind, which it is told to end for.
async fn left_behind(stage: &Stage) -> Vec<(String, Vec<u8>)> {
    let metrics = stage.http.get(format!("{}/metrics", stage.ops)).send().await.expect("metrics");
    let metrics = metrics.text().await.expect("text");
    let export = stage.cli_ok(&["audit", "export"]);
    let config = stage.cli_ok(&["config", "show", "--origin"]);
    stage.process.signal("TERM");
    stage.process.ended().await;
    let mut places: Vec<(String, Vec<u8>)> = vec![
        ("the log".to_owned(), stage.process.printed().into_bytes()),
        ("/metrics".to_owned(), metrics.into_bytes()),
        ("audit export".to_owned(), export.into_bytes()),
        ("config show".to_owned(), config.into_bytes()),
    ];
    for file in files_below(stage.data()) {
        if file.file_name().is_some_and(|name| name == "dev.env") {
            let mode = std::fs::metadata(&file).expect("its mode").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "dev.env holds secrets");
            continue;
        }
        places.push((file.display().to_string(), std::fs::read(&file).expect("a readable file")));
    }
    places
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Where which of the secrets occur: the place, and how the secret begins.
fn found(secrets: &[String], places: &[(String, Vec<u8>)]) -> Vec<String> {
    // By their first eight bytes, so that one pass over a place finds them all.
    let mut needles: HashMap<[u8; 8], Vec<(Vec<u8>, &str)>> = HashMap::new();
    let mut begins = vec![false; 1 << 16];
    for secret in secrets {
        for form in forms(secret) {
            let head = *form.first_chunk().expect("forms of secrets are longer");
            begins[usize::from(u16::from_le_bytes([head[0], head[1]]))] = true;
            needles.entry(head).or_default().push((form, secret));
        }
    }
    let mut found = Vec::new();
    for (name, bytes) in places {
        for at in 0..bytes.len().saturating_sub(7) {
            if !begins[usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))] {
                continue;
            }
            let rest = &bytes[at..];
            for (needle, secret) in rest.first_chunk::<8>().and_then(|head| needles.get(head)).into_iter().flatten() {
                if rest.starts_with(needle) {
                    let around = &bytes[at.saturating_sub(60)..at];
                    let begin: String = secret.chars().take(10).collect();
                    found.push(format!("{name} has `{begin}…` after `{}`", String::from_utf8_lossy(around)));
                }
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// How a secret may be written, and parts that would be enough of it.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    assert!(secret.len() >= 12, "too short to be told from chance: {secret}");
    let mut texts = vec![secret.as_bytes().to_vec()];
    // The signature is what makes a token worth something; headers and claims of many are alike.
    let own = match secret.rsplit_once('.') {
        Some((_, signature)) if secret.starts_with("ey") => signature.as_bytes(),
        _ => secret.as_bytes(),
    };
    texts.extend(own.chunks_exact(PART).map(<[u8]>::to_vec));
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        for offset in 0..3 {
            let mut shifted = vec![0; offset];
            shifted.extend_from_slice(own);
            let text = engine.encode(&shifted);
            // Only the characters that no neighbour has a bit in.
            let (start, end) = ((offset * 8).div_ceil(6), shifted.len() * 8 / 6);
            texts.push(text.as_bytes()[start..end].to_vec());
        }
    }
    let percent = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => (byte as char).to_string(),
        _ => format!("%{byte:02X}"),
    };
    texts.push(secret.bytes().map(percent).collect::<String>().into_bytes());
    texts
}

#[test]
fn a_secret_is_found_in_whatever_form_it_was_left() {
    let secret = "stk_rt_Zm9v:YmFyYmF6cXV4+0123456789abcdefghijk".to_owned();
    let around = |text: &str| [("it".to_owned(), format!("{{\"x\":\"{text}\"}}").into_bytes())];
    let percent = secret.replace(':', "%3A").replace('+', "%2B");
    let mut left = vec![secret.clone(), percent, secret.chars().take(40).collect()];
    for before in ["", "a", "ab", "abc"] {
        left.push(STANDARD_NO_PAD.encode(format!("{before}{secret}: more")));
        left.push(URL_SAFE_NO_PAD.encode(format!("{before}{secret}")));
    }
    for text in left {
        assert!(!found(std::slice::from_ref(&secret), &around(&text)).is_empty(), "{text}");
    }
    let token = format!("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.{}", "Q9".repeat(43));
    assert!(!found(std::slice::from_ref(&token), &around(&"Q9".repeat(43))).is_empty(), "the signature alone");
    assert!(found(&[secret, token], &around("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.x stk_rt_")).is_empty());
}
