//! What must not be seen is nowhere to be seen: not in logs, metrics, databases, files, answers or the audit log.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::stage::Stage;

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

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_reaches_a_log_a_metric_a_database_or_the_audit_log() {
    let stage = Stage::dev_with(&[("STOCKADE_LOG__LEVEL", "trace")]).await;
    let mut secrets: Vec<String> =
        stage.env.iter().filter(|(name, _)| name.ends_with("SECRET")).map(|(_, value)| value.clone()).collect();
    assert!(secrets.len() >= 5, "dev.env: {:?}", stage.env.keys());

    // Secrets take every way in, the wrong ones too.
    for who in ["DEMO", "READER", "AUDITOR", "ADMIN"] {
        let token = stage.token(who, None).await;
        stage.is_active(who, &token).await;
        for path in ["/demo/notes", "/api/v1/audit/events", "/nowhere"] {
            stage.send(stage.get(path, &token)).await;
        }
        secrets.push(token);
    }
    let wrong = "stk_cs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAaaaaaa";
    let (id, url) = (stage.var("DEMO_CLIENT_ID"), format!("{}/oauth/token", stage.issuer));
    let secret = stage.var("DEMO_CLIENT_SECRET").to_owned();
    let grant = ("grant_type", "client_credentials");
    let post = |form: &[(&str, &str)]| stage.http.post(&url).form(form);
    for request in [
        post(&[grant, ("client_id", id), ("client_secret", &secret)]),
        post(&[grant, ("client_id", id), ("client_secret", wrong)]),
        post(&[grant]).basic_auth(&secret, Some(wrong)),
        post(&[grant, ("scope", &secret)]).basic_auth(id, Some(&secret)),
        post(&[grant, ("resource", &secret)]).basic_auth(id, Some(&secret)),
        post(&[("grant_type", &*secret)]).basic_auth(id, Some(&secret)),
        stage.http.get(format!("{url}?client_secret={wrong}")),
        stage.http.get(format!("{}/demo/notes?access_token={wrong}", stage.issuer)),
        stage.get("/demo/notes", wrong),
        stage.form_as("DEMO", "/oauth/revoke", &[("token", &*secrets[secrets.len() - 1])]),
        stage.form_as("DEMO", "/oauth/revoke", &[("token", &*secrets[5])]),
    ] {
        let answer = stage.send(request).await;
        for hidden in [secret.as_str(), wrong] {
            assert!(!answer.text.contains(hidden), "an answer repeats a secret: {}", answer.text);
        }
    }
    secrets.push(wrong.to_owned());

    let metrics = stage.http.get(format!("{}/metrics", stage.ops)).send().await.expect("metrics");
    let metrics = metrics.text().await.expect("text");
    let export = stage.cli_ok(&["audit", "export"]);
    let shown = ["config", "show", "--origin"];
    let config = stage.cli_ok(&shown);
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
    assert!(places.iter().any(|(name, bytes)| name.ends_with(".db") && !bytes.is_empty()), "no database was searched");
    for (name, bytes) in &places {
        for (number, secret) in secrets.iter().enumerate() {
            assert!(!holds(bytes, secret), "{name} holds secret {number}");
            // Nor the part of a token that would be enough to use it.
            if let Some(signature) = secret.rsplit('.').next().filter(|part| part.len() >= 40) {
                assert!(!holds(bytes, signature), "{name} holds the signature of token {number}");
            }
        }
    }
}
