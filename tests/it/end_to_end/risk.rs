//! The closed loop: a finding arrives, the next call is refused, its person proves more or waits until somebody resolves it,
//! and the call passes again.

use std::time::Duration;

use serde_json::{Value, json};
use stockade::base::{Clock as _, SystemClock};
use stockade::crypto::totp::{self, Seed};

use super::browser::{Browser, between};
use super::postgres_stage::PostgresStage;
use super::stage::{SOON, Stage, until, within};
use crate::support::postgres::postgres;
use crate::support::skip;

const CALLBACK: &str = "http://127.0.0.1:1/cb";
const VERIFIER: &str = "a-verifier-that-is-long-enough-for-anybody-1234";
/// A second, and what a debug build on a busy machine adds to it.
const WITHIN_A_SECOND: Duration = Duration::from_secs(5);

/// Writes a finding about whoever AWS calls so, in its `revision`, and imports it.
fn import(stage: &Stage, user: &str, revision: u32, severity: f64, archived: bool) {
    let finding = json!({
        "schemaVersion": "2.0", "accountId": "111122223333", "region": "eu-west-1", "id": user,
        "arn": format!("arn:aws:guardduty:eu-west-1:111122223333:detector/d/finding/{user}"),
        "type": "UnauthorizedAccess:IAMUser/ConsoleLogin", "severity": severity,
        "resource": {"resourceType": "AccessKey", "accessKeyDetails": {"userName": user}},
        "service": {"archived": archived, "count": 1, "action": {"actionType": "AWS_API_CALL"}},
        "createdAt": "2026-11-01T00:00:00.000Z", "updatedAt": format!("2026-11-01T00:00:{revision:02}.000Z"),
    });
    let file = stage.data().join(format!("{user}-{revision}.json"));
    std::fs::write(&file, finding.to_string()).expect("written");
    stage.cli_ok(&["findings", "import", file.to_str().expect("a path")]);
}

/// A server where findings count, with an application that people sign in to.
async fn stage() -> Stage {
    let stage = Stage::dev_with(&[("STOCKADE_FINDINGS__RISK__MODE", "on")]).await;
    let api = format!("{}/demo", stage.issuer);
    let grants = ["--grant", "authorization_code", "--grant", "refresh_token"];
    let app = ["client", "create", "--id", "app", "--public", "--redirect-uri", CALLBACK, "--scope", "notes:read"];
    stage.cli_ok(&[&app[..], &grants, &["--resource", &api]].concat());
    stage
}

/// Somebody who can sign in: name and password.
fn person(stage: &Stage, name: &str) -> String {
    let made = stage.cli_ok(&["user", "create", name, "--output", "json"]);
    let made: Value = serde_json::from_str(&made).expect("JSON");
    made["password"].as_str().expect("a password").to_owned()
}

/// Signs in where the application sends its people, with these forms one after the other: the token, if policy allows one.
async fn token(stage: &Stage, browser: &Browser<'_>, acr: &str, forms: &[&[(&str, &str)]]) -> Option<String> {
    let challenge = stockade::crypto::b64url::encode(&stockade::crypto::sha256(VERIFIER.as_bytes()));
    let url = format!(
        "{}/oauth/authorize?response_type=code&client_id=app&redirect_uri={CALLBACK}&scope=notes:read&state=s\
         &acr_values={acr}&code_challenge={challenge}&code_challenge_method=S256",
        stage.issuer
    );
    let mut page = browser.open(&url).await;
    let mut forms = forms.iter();
    while !page.starts_with(CALLBACK) {
        // After the given forms what is left is to agree.
        page = browser.submit(&page, forms.next().copied().unwrap_or_default()).await;
    }
    let code = between(&page, "code=", "&")?.to_owned();
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "app"),
        ("redirect_uri", CALLBACK),
        ("code", &code),
        ("code_verifier", VERIFIER),
    ];
    let answer = stage.send(stage.http.post(format!("{}/oauth/token", stage.issuer)).form(&form)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["access_token"].as_str().map(str::to_owned)
}

/// Waits until a call with this token is answered so; the challenge that came with it.
async fn called(stage: &Stage, token: &str, status: u16) -> String {
    within(WITHIN_A_SECOND, &format!("the call is answered with {status}"), || async {
        let answer = stage.send(stage.get("/demo/notes", token)).await;
        (answer.status == status).then(|| answer.header("www-authenticate").to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finding_demands_a_second_factor_and_lets_go_when_it_is_resolved() {
    let stage = stage().await;
    let password = person(&stage, "ada");
    let credentials: &[(&str, &str)] = &[("username", "ada"), ("password", &password)];
    let browser = Browser::new(&stage);
    let weak = token(&stage, &browser, "1", &[credentials]).await.expect("a token");
    called(&stage, &weak, 200).await;
    // She has an app before anything happens: who is at risk does not get to add one.
    let page = browser.open(&format!("{}/account/totp", stage.issuer)).await;
    let text: String = between(&page, "secret=", "&").expect("a secret").to_owned();
    let seed = Seed::from_bytes(decode(&text));
    let step = totp::step(SystemClock.now());
    browser.submit(&page, &[("code", &totp::code(&seed, step))]).await;

    import(&stage, "ada", 1, 8.0, false);
    let challenge = called(&stage, &weak, 401).await;
    assert!(challenge.contains("insufficient_user_authentication") && challenge.contains(r#"acr_values="2""#));
    // The code of the app that comes next: the last one is used.
    let code = totp::code(&seed, totp::step(SystemClock.now()).max(step + 1));
    let strong = token(&stage, &browser, "2", &[credentials, &[("code", &code)]]).await.expect("a token");
    called(&stage, &strong, 200).await;
    called(&stage, &weak, 401).await;

    import(&stage, "ada", 2, 8.0, true);
    called(&stage, &weak, 200).await;
    let export = stage.verified();
    let denied = export.lines().find(|line| line.contains("guard.risk.step_up")).expect("the refusal is recorded");
    assert!(denied.contains("finding_id") && denied.contains("fnd_"), "it names the finding: {denied}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_critical_finding_ends_what_a_person_has_and_they_come_back_when_it_is_resolved() {
    let stage = stage().await;
    let password = person(&stage, "bob");
    let credentials: &[(&str, &str)] = &[("username", "bob"), ("password", &password)];
    let browser = Browser::new(&stage);
    let before = token(&stage, &browser, "1", &[credentials]).await.expect("a token");
    called(&stage, &before, 200).await;

    import(&stage, "bob", 1, 9.5, false);
    // First refused as anything is, then dead: its family is revoked.
    called(&stage, &before, 401).await;
    until("the session ends, and its event names the finding", || async {
        let ended = stage.cli_ok(&["audit", "query", "--kind", "session.ended", "--output", "json"]);
        (ended.contains("at_risk") && ended.contains("fnd_")).then_some(())
    })
    .await;
    let page = browser.open(&format!("{}/account", stage.issuer)).await;
    assert!(page.contains("name=\"password\""), "signed out: {page}");

    import(&stage, "bob", 2, 9.5, true);
    let after = within(SOON, "bob signs in again", || async {
        token(&stage, &Browser::new(&stage), "1", &[credentials]).await
    })
    .await;
    called(&stage, &after, 200).await;
    called(&stage, &before, 401).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_processes_of_a_deployment_refuse_and_let_go() {
    let Some(url) = postgres() else { return skip("PostgreSQL is not installed") };
    let place = PostgresStage::new(url).with("STOCKADE_FINDINGS__RISK__MODE", "on");
    let (id, secret) = place.client("pair-risk");
    let (one, other) = (place.serve().await, place.serve().await);
    let token = within(SOON, "a token", || async {
        let form = [("grant_type", "client_credentials")];
        let request = one.http.post(format!("{}/oauth/token", one.issuer)).basic_auth(&id, Some(&secret)).form(&form);
        let answer = one.try_send(request).await.ok()?;
        (answer.status == 200).then(|| answer.json()["access_token"].as_str().expect("a token").to_owned())
    })
    .await;
    for (revision, archived, status) in [(1, false, 403), (2, true, 200)] {
        import(&one, &id, revision, 9.5, archived);
        for stage in [&one, &other] {
            within(WITHIN_A_SECOND, &format!("both answer {status}"), || async {
                let answer = stage.send(stage.get("/api/v1/audit/events", &token)).await;
                (answer.status == status).then_some(())
            })
            .await;
        }
    }
}

/// Base32 (RFC 4648), as authenticator apps read it.
fn decode(text: &str) -> Vec<u8> {
    let (mut out, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for c in text.bytes() {
        let digit = stockade::crypto::base32::RFC4648.iter().position(|known| *known == c).expect("a digit");
        held = held << 5 | u32::try_from(digit).expect("small");
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(held >> bits & 255).expect("a byte"));
        }
    }
    out
}
