//! One server is the provider of another: people sign in with it, link it, and leave nothing of it behind.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::person::{Page, Person, Seen};
use super::{Scene, chromium, leaks, node};
use crate::end_to_end::stage::Stage;
use crate::support::postgres::free_port;
use crate::support::skip;

fn shows(page: &Page, at: &Stage, title: &str) {
    assert!(page.url.as_str().starts_with(&at.issuer), "{}: {}", page.url, page.html);
    assert!(page.html.contains(&format!("<h1>{title}</h1>")), "{}: {}", page.url, page.html);
}

/// Two servers, one of which is the other's provider, `house`.
struct Pair {
    provider: Stage,
    stage: Stage,
    secret: String,
    _home: TempDir,
}

async fn pair() -> Pair {
    let home = tempfile::tempdir().expect("a directory");
    let provider = Stage::dev_with(&[("STOCKADE_LOG__LEVEL", "trace")]).await;
    let port = free_port();
    let callback = format!("http://localhost:{port}/callback/house");
    let create = ["client", "create", "--id", "stockade", "--grant", "authorization_code", "--redirect-uri", &callback];
    let create = [&create[..], &["--scope", "openid", "--scope", "profile", "--output", "json"]].concat();
    let made: Value = serde_json::from_str(&provider.cli_ok(&create)).expect("JSON");
    let secret = made["client_secret"].as_str().expect("a secret").to_owned();
    let file = home.path().join("secret");
    std::fs::write(&file, &secret).expect("written");
    let providers = format!(
        "[{{ id = \"house\", name = \"The house\", issuer = \"{}\", client_id = \"stockade\", client_secret_file = \"{}\", \
         create = true, username = \"sub\" }}]",
        provider.issuer,
        file.display()
    );
    let settings = [
        ("STOCKADE_LOG__LEVEL", "trace"),
        ("STOCKADE_LOGIN__PROVIDERS", providers.as_str()),
        ("STOCKADE_OUTBOUND__NETWORKS", "127.0.0.0/8,::1/128"),
    ];
    let stage = Stage::dev_on(port, &home.path().join("data"), &settings).await;
    Pair { provider, stage, secret, _home: home }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_signs_in_at_another_server_and_axe_finds_nothing_on_the_way() {
    let (Some(mut command), Some(chromium)) = (node("playwright-core", "upstream.mjs"), chromium()) else {
        return skip("chromium or playwright-core is not installed: apt-get install chromium, tests/outside/install");
    };
    let Pair { provider, stage, _home, .. } = pair().await;
    let app = ["client", "create", "--id", "app", "--public", "--grant", "authorization_code", "--scope", "openid"];
    stage.cli_ok(&[&app[..], &["--redirect-uri", "http://127.0.0.1/cb"]].concat());
    let shots = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
    command.env("CHROMIUM", chromium).env("SHOTS", shots).env("PROVIDER", &provider.issuer);
    command.env("PROVIDER_USER", provider.var("DEMO_USER")).env("PROVIDER_PASSWORD", provider.var("DEMO_PASSWORD"));
    Scene { stage, seen: Seen::default() }.drive(command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_signs_in_the_people_of_another() {
    let Pair { provider, stage, secret, _home } = pair().await;
    let seen = Seen::default();
    seen.keep(&secret);
    let person = |of: &Stage| Person::new(&seen, &stage.http, of.var("DEMO_USER"), of.var("DEMO_PASSWORD"));
    let login = format!("{}/login", stage.issuer);

    // Somebody whom nobody knows here becomes a person here.
    let theirs = person(&provider);
    let there = theirs.click(&theirs.open(&login).await, "Sign in with The house").await;
    shows(&there, &provider, "Sign in");
    let consent = theirs.sign_in(&there).await;
    assert_eq!(consent.url.path(), "/consent", "{}", consent.html);
    let account = theirs.submit(&consent, &[]).await;
    shows(&account, &stage, "Your account");
    assert!(account.html.contains("signed in as <strong>usr_"), "{}", account.html);
    let elsewhere = theirs.click(&account, "Link or unlink an account").await;
    shows(&elsewhere, &stage, "Accounts elsewhere");
    assert!(elsewhere.html.contains("The house: usr_"), "{}", elsewhere.html);

    // Nobody else here gets that account.
    let ours = person(&stage);
    let account = ours.sign_in(&ours.open(&login).await).await;
    shows(&account, &stage, "Your account");
    let elsewhere = ours.click(&account, "Link or unlink an account").await;
    let there = ours.click(&elsewhere, "Link your account at The house").await;
    shows(&there, &provider, "Sign in");
    let borrowed = theirs.like(&ours);
    let refused = borrowed.sign_in(&there).await;
    shows(&refused, &stage, "That account is linked already");
    assert_eq!(refused.status, 403);

    // One that is nobody's they may link, and sign in with.
    let made = provider.cli_ok(&["user", "create", "bea", "--output", "json"]);
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let bea = Person::new(&seen, &stage.http, "bea", made["password"].as_str().expect("a password"));
    let elsewhere = ours.open(&format!("{}/account/elsewhere", stage.issuer)).await;
    let as_bea = bea.like(&ours);
    let there = as_bea.click(&elsewhere, "Link your account at The house").await;
    let offer = as_bea.submit(&as_bea.sign_in(&there).await, &[]).await;
    shows(&offer, &stage, "Link this account?");
    shows(&as_bea.submit(&offer, &[]).await, &stage, "Your account");
    let there = bea.click(&bea.open(&login).await, "Sign in with The house").await;
    let account = bea.sign_in(&there).await;
    shows(&account, &stage, "Your account");
    let name = format!("signed in as <strong>{}</strong>", stage.var("DEMO_USER"));
    assert!(account.html.contains(&name), "{}", account.html);

    let events = stage.cli_ok(&["audit", "query", "--kind", "login.failed", "--output", "json"]);
    assert!(events.contains("\"taken\"") && events.contains("\"house\""), "{events}");
    for one in [&provider, &stage] {
        seen.keep(&one.token("DEMO", None).await);
    }
    leaks::none_of(&seen.all(), &stage).await;
    leaks::none_of(&seen.all(), &provider).await;
    // The provider's tokens went from server to server. None is kept, in clear or sealed.
    for database in ["stockade.db", "stockade.db-wal", "audit.db", "audit.db-wal"] {
        let bytes = std::fs::read(stage.data().join(database)).unwrap_or_default();
        assert!(!bytes.windows(4).any(|window| window == b"eyJh"), "{database} holds a token");
    }
}
