//! Whether a service can run: each part well and not.

use std::time::Duration;

use serde_json::json;
use stockade::audit_log::verify::{Report, VerifyError};
use stockade::config::Config;
use stockade::crypto::rotation::Settings;
use stockade::doctor::Verdict::{Failed, Ok as Fine, Warning};
use stockade::doctor::{Finding, Verdict, deployment};
use stockade::model::{Algorithm, AuthMethod, Client};
use stockade::registry::Site;
use stockade::store::MigrationStatus;

use super::{NOW, advised, key};

#[track_caller]
fn is(finding: Finding, verdict: Verdict, names: &str) {
    advised(std::slice::from_ref(&finding));
    assert_eq!(finding.verdict, verdict, "{finding:?}");
    assert!(finding.found.contains(names), "{finding:?}");
}

#[test]
fn the_store_answers_and_has_every_migration() {
    let migration = |applied| MigrationStatus { name: "0001_core", applied };
    is(deployment::store(Ok(&[migration(true)])), Fine, "1");
    is(deployment::store(Ok(&[migration(true), migration(false)])), Failed, "0001_core");
    is(deployment::store(Err("no route".to_owned())), Failed, "no route");
}

#[test]
fn policies_load() {
    is(deployment::policies(Ok(12)), Fine, "12");
    let problems = (0..8).map(|n| format!("problem {n}")).collect();
    is(deployment::policies(Err(problems)), Failed, "problem 0, problem 1, problem 2, problem 3, problem 4 and 3 more");
}

#[test]
fn keys_open_and_sign_and_are_not_overdue() {
    let settings = Settings::default();
    let (fresh, old) = (key(Algorithm::ES256, NOW), key(Algorithm::ES256, NOW.minus(settings.period)));
    is(deployment::keys(&[], &settings, Ok(()), NOW), Fine, "none yet");
    is(deployment::keys(std::slice::from_ref(&fresh), &settings, Ok(()), NOW), Fine, "1 keys");
    is(deployment::keys(&[old], &settings, Ok(()), NOW), Warning, "a new key of ES256");
    is(
        deployment::keys(std::slice::from_ref(&fresh), &settings, Err("not with these".to_owned()), NOW),
        Failed,
        "not with these",
    );
    let other = Settings { algs: vec![Algorithm::EdDSA], ..settings };
    is(deployment::keys(std::slice::from_ref(&fresh), &other, Ok(()), NOW), Warning, "a new key of EdDSA");
    let mut later = fresh;
    later.activates_at = NOW.plus(Duration::from_secs(60));
    is(deployment::keys(&[later], &Settings::default(), Ok(()), NOW), Failed, "nothing signs ES256");
}

#[test]
fn clients_still_fit_the_configuration() {
    let config = Config::default();
    let mut client = Client::new("app", AuthMethod::ClientSecretBasic, NOW);
    client.default_resource.clone_from(&config.server.issuer);
    is(deployment::clients(std::slice::from_ref(&client), &Site::of(&config)), Fine, "1");
    client.resources.push("https://gone.example".to_owned());
    is(deployment::clients(&[client], &Site::of(&config)), Failed, "`app`");
}

#[test]
fn the_audit_log_verifies() {
    let report = Report { entries: 7, ..Report::default() };
    is(deployment::audit_log(&Ok(report)), Fine, "7 entries");
    is(deployment::audit_log(&Err(VerifyError::Leaf(3))), Failed, "entry 3 was changed");
}

#[test]
fn the_clock_is_right() {
    let by = |secs| NOW.plus(Duration::from_secs(secs));
    is(deployment::clock(&[], None, NOW), Fine, "");
    is(deployment::clock(&[], Some(by(2)), NOW), Fine, "2 s");
    is(deployment::clock(&[], Some(by(10)), NOW), Warning, "10 s");
    is(deployment::clock(&[], Some(NOW), by(60)), Failed, "60 s");
    is(deployment::clock(&[key(Algorithm::ES256, by(3600))], None, NOW), Failed, "a key was made");
}

#[test]
fn the_disk_has_room() {
    is(deployment::disk(None), Fine, "not measured");
    is(deployment::disk(Some((50 << 30, 100 << 30))), Fine, "51200 MiB");
    is(deployment::disk(Some((2 << 30, 100 << 30))), Warning, "2048 MiB");
    is(deployment::disk(Some((1 << 20, 100 << 30))), Failed, "1 MiB");
}

#[test]
fn listeners_and_issuer_fit_together() {
    let config = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        config
    };
    is(deployment::listeners(&config(|_| ()), None), Fine, "in clear, on loopback");
    let https = config(|c| c.server.issuer = "https://auth.example".to_owned());
    is(deployment::listeners(&https, None), Warning, "the issuer is https");
    is(deployment::listeners(&https, Some(Ok(()))), Fine, "by TLS");
    is(deployment::listeners(&https, Some(Err("no such file".to_owned()))), Failed, "no such file");
    let proxied = config(|c| c.server.behind_tls_proxy = true);
    is(deployment::listeners(&proxied, None), Failed, "the issuer is http");
    let unknown = config(|c| {
        c.server.issuer = "https://auth.example".to_owned();
        c.server.behind_tls_proxy = true;
    });
    is(deployment::listeners(&unknown, None), Warning, "not known");
}

#[test]
fn the_issuer_answers_what_is_configured() {
    let ours = json!({ "issuer": "https://a.example", "x": 1 });
    is(deployment::metadata(&ours, Ok(ours.clone())), Fine, "configured");
    is(deployment::metadata(&ours, Err("cannot be asked".to_owned())), Warning, "cannot be asked");
    is(deployment::metadata(&ours, Ok(json!({ "issuer": "https://a.example" }))), Failed, "`x` differs");
    is(deployment::metadata(&ours, Ok(json!({ "issuer": "https://a.example", "x": 1, "y": 2 }))), Failed, "`y`");
    is(deployment::metadata(&ours, Ok(json!("no"))), Failed, "`issuer`");
}
