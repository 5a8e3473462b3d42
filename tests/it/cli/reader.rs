//! README and docs, read by somebody new: every command in them is run, in order, and does what the page says.

use std::process::{Command, Stdio};

use super::dev::{Server, dev};
use super::docs::{pages, shell_lines, words};
use super::{Place, Said, binary, run_in};
use crate::support::postgres::free_port;
use crate::support::skip;

/// A directory as a reader has it: `init`, the API that the pages speak of, and the files that they name.
fn desk(page: &str) -> Place {
    let place = Place::new();
    let text = std::fs::read_to_string(place.file()).unwrap();
    let apis = "resources = [{ id = \"https://api.example.com\" }]";
    std::fs::write(place.file(), text.replace("\nresources = []", &format!("\n{apis}"))).unwrap();
    let declared = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    if let Some(declared) = declared.into_iter().find(|block| block.contains("[[client]]")) {
        std::fs::create_dir(place.path().join("deployment")).unwrap();
        std::fs::write(place.path().join("deployment/all.toml"), declared).unwrap();
    }
    place
}

/// Whether it needs somebody else: a server elsewhere, one that keeps running, a person.
fn is_for_elsewhere(words: &[String]) -> bool {
    let first: Vec<&str> = words.iter().skip(1).take(2).map(String::as_str).collect();
    words.iter().any(|word| word == "--server" || word.starts_with("stockade-dev/") || word.starts_with("/mnt/"))
        || matches!(first[..], ["serve" | "dev" | "login" | "healthcheck", ..] | ["audit", "tail"])
        // Files and numbers of the reader's own.
        || matches!(first[..], ["findings", "import" | "show" | "sync"] | ["token", "explain"])
        || matches!(first[..], ["findings", "ack" | "assign" | "escalate" | "resolve" | "reopen" | "unsuppress"])
}

/// What the page leaves for the reader to fill in.
fn filled(place: &Place, word: String) -> String {
    match word.as_str() {
        "KID" => place.json(&["key", "list"])[0]["kid"].as_str().unwrap().to_owned(),
        "DIGEST" => {
            let plan = place.run(&["plan", "deployment/"]);
            plan.out.trim_end().rsplit(' ').next().unwrap().to_owned()
        }
        "hold_01" => place.json(&["audit", "hold", "list"])[0]["hold_id"].as_str().unwrap().to_owned(),
        // Numbers of a log that is longer.
        "17" => "0".to_owned(),
        "42" | "1000" => "1".to_owned(),
        "/backup/stockade.db" => place.path().join("backup.db").display().to_string(),
        key if key.len() == 44 && key.starts_with("AAAA") => {
            let signed = place.run(&["audit", "checkpoint"]);
            signed.err.trim_end().rsplit(' ').next().unwrap().to_owned()
        }
        _ => word,
    }
}

fn follow(place: &Place, line: &str) -> Said {
    let arguments: Vec<String> = words(line).into_iter().skip(1).map(|word| filled(place, word)).collect();
    let mut command = binary();
    command.current_dir(place.path()).args(&arguments);
    if line.contains(" < token.txt") {
        place.json(&["client", "create", "--id", "reader", "--grant", "client_credentials", "--scope", "orders:read"]);
        let issued = place.json(&["token", "issue", "--client", "reader"]);
        std::fs::write(place.path().join("token.txt"), issued["access_token"].as_str().unwrap()).unwrap();
        command.stdin(std::fs::File::open(place.path().join("token.txt")).unwrap());
    } else {
        command.stdin(Stdio::null());
    }
    let said = Said::from(command.output().unwrap());
    if let Some((_, file)) = line.split_once(" > ") {
        std::fs::write(place.path().join(file), &said.out).unwrap();
    }
    said
}

#[test]
fn every_command_of_every_page_does_what_it_says() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (page, text) in pages() {
        let place = desk(&text);
        for line in shell_lines(&text).iter().filter(|line| !is_for_elsewhere(&words(line))) {
            let said = follow(&place, line);
            // These ask, and the page says that the answer is no.
            let no = line.contains("policy explain") || line.contains("drift");
            if said.code != i32::from(no) {
                wrong.push(format!("{}: `{line}`: {said:?}", page.display()));
            }
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 20, "{count}");
}

/// The `curl` lines of `console` blocks that ask the reader's own server, each with what continues it.
fn curls(text: &str) -> Vec<String> {
    let blocks = text.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>());
    let ours = lines.filter(|line| line.contains("$ISSUER") || line.contains("http://localhost:8080"));
    ours.filter_map(|line| line.strip_prefix("$ curl ").map(str::to_owned)).collect()
}

#[tokio::test]
async fn every_curl_of_every_page_is_answered() {
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skip("curl is not installed");
    }
    let dir = tempfile::tempdir().unwrap();
    let (port, ops) = (free_port(), free_port());
    let mut server = Server::start(dev(&dir.path().join("data"), port, ops));
    server.ready(ops).await;
    let mut count = 0;
    for (page, text) in pages() {
        for line in curls(&text) {
            // A token for what the page is about; the README's reader has just made the client `app`.
            let prepare = if line.contains("$SECRET") {
                "SECRET=$DEMO_CLIENT_SECRET".to_owned()
            } else {
                let reads = line.contains("/api/v1/audit") || line.contains("/api/v1/findings");
                let who = if reads { "AUDITOR" } else { "ADMIN" };
                let token = format!(
                    "TOKEN=$(curl -fsS -u \"${who}_CLIENT_ID:${who}_CLIENT_SECRET\" -d grant_type=client_credentials \
                     \"$ISSUER/oauth/token\" | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')"
                );
                let id = "ID=$(curl -fsS -H \"Authorization: Bearer $TOKEN\" \"$ISSUER/api/v1/findings?limit=1\" \
                          | sed 's/.*\"\\(fnd_[^\"]*\\)\".*/\\1/')";
                if line.contains("$ID") { format!("{token}\n{id}") } else { token }
            };
            let line = line.replace("http://localhost:8080", "$ISSUER").replace("\"app:", "\"demo:");
            let line = line.replace("$(uuidgen)", "8e03978e-40d5-43dd-bc93-6894a57f9324");
            let script = format!(". ./dev.env\n{prepare}\ncurl -fsS {line}");
            let mut shell = Command::new("sh");
            shell.env("no_proxy", "*").current_dir(dir.path().join("data")).args(["-euc", &script]);
            let said = Said::from(shell.output().unwrap());
            assert!(said.code == 0 && said.out.starts_with('{'), "{}: {line}: {said:?}", page.display());
            count += 1;
        }
    }
    assert!(count >= 3, "{count}");
    let said = run_in(&dir.path().join("data"), &["audit", "verify"]);
    assert_eq!(said.code, 0, "{said:?}");
}
