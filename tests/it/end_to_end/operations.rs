//! What the people who run it see: health, metrics, traces, and settings that cannot be.

use super::stage::{Stage, stockade, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_stand_at_zero_before_anything_happened_and_count_what_does() {
    let stage = Stage::dev().await;
    let metrics = async || {
        let answer = stage.http.get(format!("{}/metrics", stage.ops)).send().await.expect("metrics");
        assert!(answer.headers()["content-type"].to_str().is_ok_and(|kind| kind.starts_with("text/plain")));
        answer.text().await.expect("text")
    };
    let before = metrics().await;
    let zero = before.lines().filter(|line| !line.starts_with('#') && line.ends_with(" 0")).count();
    assert!(zero >= 20, "counters appear only once they count:\n{before}");
    assert!(before.contains("le=\"0.2\""), "no bucket ends at 0.2 s:\n{before}");
    for line in before.lines().filter(|line| line.starts_with("# TYPE ")) {
        assert!(line.starts_with("# TYPE stockade_"), "{line}");
    }
    for _ in 0..7 {
        stage.token("DEMO", None).await;
    }
    // Some series says how many tokens there are: exactly seven more than before.
    let value = |text: &str, series: &str| -> Option<f64> {
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    };
    until("seven tokens are counted", || async {
        let after = metrics().await;
        let series = after.lines().filter(|line| line.contains("token") && line.contains("_total"));
        let names = series.filter_map(|line| line.rsplit_once(' ').map(|(name, _)| name.to_owned()));
        let grown =
            names.filter(|name| value(&after, name).zip(value(&before, name)).is_some_and(|(a, b)| a == b + 7.0));
        (grown.count() > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_container_probe_follows_the_server() {
    let stage = Stage::dev().await;
    let output = stage.cli(&["healthcheck"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    stage.process.kill();
    let output = stage.cli(&["healthcheck"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stderr.is_empty(), "it does not say what is wrong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_and_a_request_id_go_through_to_the_answer_and_the_record() {
    let stage = Stage::dev().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let form = [("grant_type", "client_credentials")];
    let request = stage.form_as("DEMO", "/oauth/token", &form).header("x-request-id", "outside-test-0001");
    let answer = stage.send(request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))).await;
    assert_eq!(answer.header("x-request-id"), "outside-test-0001");
    assert!(answer.header("traceparent").contains(trace), "`{}`", answer.header("traceparent"));
    let hostile = stage.form_as("DEMO", "/oauth/token", &form).header("x-request-id", "a\"},{\"forged\":\"");
    let answer = stage.send(hostile.header("traceparent", "00-zz-zz-zz")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(!answer.header("x-request-id").contains("forged"));
    let events = stage.exported();
    let event = events.iter().map(ToString::to_string).find(|event| event.contains("outside-test-0001"));
    assert!(event.expect("the issuance").contains(trace));
}

#[test]
fn settings_that_cannot_be_are_all_reported_at_once_and_stop_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("stockade.toml");
    let text = "[server]\nlisten = \"0.0.0.0:0\"\nisuer = \"https://a.example\"\n[audit_log]\nissuance = \"never\"\n";
    std::fs::write(&config, text).expect("written");
    for command in ["serve", "check"] {
        let output = stockade().arg(command).arg("--config").arg(&config).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{command}: {said}");
        for part in ["isuer", "issuer", "issuance", "never"] {
            assert!(said.contains(part), "{command} does not mention {part}: {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
    }
    for wrong in [&["nonsense"][..], &["client", "create"], &["dev", "--listen", "nowhere"]] {
        let output = stockade().args(wrong).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// With no more said than the contract spells out, a client of `dev` reaches the demo API; the issuer is asked for by name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_created_without_a_resource_reaches_the_demo_api_of_dev() {
    let mut stage = Stage::dev().await;
    let grant = ["--grant", "client_credentials", "--scope", "notes:read", "--output", "json"];
    let printed = stage.cli_ok(&[&["client", "create", "--id", "plain"][..], &grant].concat());
    let printed: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    let secret = printed["client_secret"].as_str().expect("a secret").to_owned();
    stage.env.insert("PLAIN_CLIENT_ID".to_owned(), "plain".to_owned());
    stage.env.insert("PLAIN_CLIENT_SECRET".to_owned(), secret);
    let form = [("grant_type", "client_credentials")];
    until("the server knows the client", || async {
        (stage.send(stage.form_as("PLAIN", "/oauth/token", &form)).await.status == 200).then_some(())
    })
    .await;
    let notes = format!("{}/notes", stage.var("API"));
    let token = stage.token("PLAIN", None).await;
    assert_eq!(stage.send(stage.get(&notes, &token)).await.status, 200);
    let for_issuer = stage.token("PLAIN", Some(&stage.issuer)).await;
    assert_eq!(stage.send(stage.get(&notes, &for_issuer)).await.status, 401);
}
