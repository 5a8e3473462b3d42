//! What must not be seen is nowhere to be seen: not in logs, metrics, databases, files, answers or the audit log.

use super::leaks;
use super::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e14_no_secret_reaches_a_log_a_metric_a_database_or_the_audit_log() {
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

    leaks::none_of(&secrets, &stage).await;
}
