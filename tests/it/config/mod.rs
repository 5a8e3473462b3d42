//! Tests of `config`: what a file and an environment become, and what is said of mistakes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use stockade::base::Secret;
use stockade::config::{self, Config, Crypto, Database, Origin, REFERENCE, TokenFormat};
use stockade::model::Algorithm;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([("STOCKADE_CRYPTO__SEAL_KEYS".to_owned(), KEY.to_owned())]);
    env.extend(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    env
}

/// Writes `text` as the configuration of a fresh directory and reads it.
fn read(text: &str, pairs: &[(&str, &str)]) -> (tempfile::TempDir, config::Loaded) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stockade.toml");
    std::fs::write(&file, text).unwrap();
    let loaded = config::read(Some(&file), &env(pairs));
    (dir, loaded)
}

fn good(text: &str, pairs: &[(&str, &str)]) -> Config {
    read(text, pairs).1.config.unwrap()
}

/// The mistakes as text, with the directory's name taken out.
fn mistakes(text: &str, pairs: &[(&str, &str)]) -> Vec<String> {
    let (dir, loaded) = read(text, pairs);
    let prefix = format!("{}/", dir.path().display());
    loaded.config.unwrap_err().iter().map(|e| e.to_string().replace(&prefix, "")).collect()
}

#[test]
fn the_reference_is_the_defaults() {
    let (dir, loaded) = read(REFERENCE, &[]);
    let url = Secret::new(format!("sqlite:{}", dir.path().join("stockade.db").display()));
    let expected = Config {
        crypto: Crypto { seal_keys: vec![Secret::new(KEY.to_owned())] },
        database: Database { url },
        ..Config::default()
    };
    assert_eq!(loaded.config.unwrap(), expected);
}

#[test]
fn an_empty_file_gives_the_defaults() {
    assert_eq!(good("", &[]).server, Config::default().server);
    assert_eq!(config::load(None, &env(&[])).unwrap().database, Config::default().database);
}

#[test]
fn the_reference_names_every_key_and_no_other() {
    let (_dir, loaded) = read(REFERENCE, &[]);
    let shown: BTreeSet<String> = loaded.shown.iter().map(|s| s.key.clone()).collect();
    let mut written = BTreeSet::new();
    collect("", &REFERENCE.parse::<toml::Table>().unwrap(), &mut written);
    assert_eq!(shown, written);
}

fn collect(prefix: &str, table: &toml::Table, keys: &mut BTreeSet<String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => collect(&key, inner, keys),
            _ => assert!(keys.insert(key)),
        }
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let file = "[server]\nlisten = \"127.0.0.1:1\"\nops_listen = \"127.0.0.1:2\"\n";
    let config = good(file, &[("STOCKADE_SERVER__LISTEN", "127.0.0.1:9")]);
    assert_eq!(config.server.listen.port(), 9);
    assert_eq!(config.server.ops_listen.port(), 2);
}

#[test]
fn every_key_has_an_environment_name() {
    let (_dir, loaded) = read(REFERENCE, &[]);
    for shown in loaded.shown {
        let name = config::environment_name(&shown.key);
        let value = match shown.key.as_str() {
            "crypto.seal_keys" => continue,
            _ => shown.value.trim_matches('"').to_owned(),
        };
        let (_dir, again) = read("", &[(&name, &value)]);
        assert!(again.config.is_ok(), "{name}={value}: {:?}", again.config);
        let entry = again.shown.iter().find(|s| s.key == shown.key).unwrap();
        assert_eq!(entry.origin, Origin::Environment(name));
    }
}

#[test]
fn lists_of_the_environment_are_written_with_commas_or_as_toml() {
    let config = good("", &[("STOCKADE_SERVER__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1,")]);
    assert_eq!(config.server.trusted_proxies.len(), 2);
    assert_eq!(config.server.trusted_proxies[1].to_string(), "192.0.2.1/32");
    let config = good("", &[("STOCKADE_OAUTH__SIGNING_ALGS", r#"["EdDSA", "ES256"]"#)]);
    assert_eq!(config.oauth.signing_algs, [Algorithm::EdDSA, Algorithm::ES256]);
    let resources = r#"[{id = "https://api.example.com", tokens = "opaque", ttl = "1m"}]"#;
    let config = good("", &[("STOCKADE_OAUTH__RESOURCES", resources)]);
    assert_eq!(config.oauth.resources[0].tokens, TokenFormat::Opaque);
    assert_eq!(config.oauth.resources[0].ttl, Some(Duration::from_secs(60)));
}

#[test]
fn names_without_two_underscores_are_no_configuration() {
    good("", &[("STOCKADE_CONFIG", "x.toml"), ("STOCKADE_CORPORA", "/data"), ("STOCKADE_ANYTHING", "")]);
}

#[test]
fn every_mistake_is_reported_at_once_with_its_line() {
    let file = r#"[server]
listen = "here"
behind_tls_proxy = "yes"
[oath]
access_token_ttl = "5m"
[oauth]
acces_token_ttl = "5m"
key_lifetime = 90
signing_algs = ["ES256", "none", "HS256"]
[limits]
address = "fast"
keys = 1
"#;
    let found = mistakes(file, &[("STOCKADE_HTTP__BODY_LIMIT", "lots"), ("STOCKADE_SERVER__LISTN", "x")]);
    let expected = [
        "stockade.toml:2: `server.listen`: `here` is not an address",
        "stockade.toml:3: `server.behind_tls_proxy`: expected true or false, found text",
        "STOCKADE_HTTP__BODY_LIMIT: `http.body_limit`: expected a whole number from 1024 to 16777216",
        "stockade.toml:9: `oauth.signing_algs`: `none` is not an algorithm",
        "stockade.toml:9: `oauth.signing_algs`: `HS256` is not an algorithm",
        "stockade.toml:8: `oauth.key_lifetime`: expected text, found a number",
        "stockade.toml:11: `limits.address`: `fast` is not a limit",
        "stockade.toml:12: `limits.keys`: expected a whole number",
        "STOCKADE_SERVER__LISTN: unknown key `STOCKADE_SERVER__LISTN`; did you mean `STOCKADE_SERVER__LISTEN`?",
        "stockade.toml:5: unknown key `oath.access_token_ttl`; did you mean `oauth.access_token_ttl`?",
        "stockade.toml:7: unknown key `oauth.acces_token_ttl`; did you mean `oauth.access_token_ttl`?",
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn a_file_that_is_not_toml_says_where() {
    let found = mistakes("[server]\nlisten = \n", &[]);
    assert!(found[0].starts_with("stockade.toml:2: not TOML"), "{found:?}");
}

#[test]
fn a_file_that_is_not_there_is_a_mistake_when_it_was_named() {
    let errors = config::load(Some(Path::new("/nowhere/stockade.toml")), &env(&[])).unwrap_err();
    assert!(errors[0].to_string().starts_with("cannot read /nowhere/stockade.toml"), "{errors:?}");
}

#[test]
fn the_default_api_is_the_issuer_or_one_of_the_others() {
    assert_eq!(good("", &[]).oauth.default_resource, None);
    let api = r#"[oauth]
default_resource = "https://a.example"
[[oauth.resources]]
id = "https://a.example"
"#;
    assert_eq!(good(api, &[]).oauth.default_resource.as_deref(), Some("https://a.example"));
    assert!(good("[oauth]\ndefault_resource = \"http://localhost:8080\"\n", &[]).oauth.default_resource.is_some());
    let found = mistakes("[oauth]\ndefault_resource = \"https://b.example\"\n", &[]);
    let expected = "stockade.toml:2: `oauth.default_resource`: `https://b.example` is no API of this server";
    assert!(found.len() == 1 && found[0].starts_with(expected), "{found:#?}");
}

#[test]
fn resources_are_checked_field_by_field() {
    let file = r#"[oauth]
signing_algs = ["ES256"]
[[oauth.resources]]
id = "https://a.example"
token = "jwt"
[[oauth.resources]]
id = "https://a.example"
alg = "RS256"
[[oauth.resources]]
tokens = "paper"
"#;
    let found = mistakes(file, &[]);
    let expected = [
        "stockade.toml:5: unknown key `oauth.resources[0].token`; did you mean `tokens`?",
        "stockade.toml:10: `oauth.resources[2].tokens`: `paper` is not a kind of token",
        "stockade.toml:9: `oauth.resources[2]` has no `id`",
        "stockade.toml:3: `oauth.resources`: `https://a.example` is there twice",
        "stockade.toml:3: `oauth.resources`: `https://a.example` asks for RS256",
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn trusted_issuers_are_checked_field_by_field() {
    let file = r#"[[oauth.trusted_issuers]]
issuer = "https://ci.example"
jwks_uri = "https://ci.example/keys"
jwks = "keys.json"
[[oauth.trusted_issuers]]
issuer = "https://ci.example"
jwks = "keys.json"
algs = "HS256"
[[oauth.trusted_issuers]]
issuer = "https://ci.example"
jwks_uri = "keys"
audiences = "x"
"#;
    let found = mistakes(file, &[]);
    for expected in [
        "`oauth.trusted_issuers[0]`: name its keys: `jwks_uri`, or `jwks`, a file; one of the two",
        "`oauth.trusted_issuers[1].algs`: `HS256` is not an algorithm",
        "`oauth.trusted_issuers[2].jwks_uri`: `keys` is no URL",
        "unknown key `oauth.trusted_issuers[2].audiences`; did you mean `audience`?",
    ] {
        assert!(found.iter().any(|found| found.contains(expected)), "{expected}: {found:#?}");
    }
    let one = "[[oauth.trusted_issuers]]\nissuer = \"https://ci.example\"\njwks = \"keys.json\"\n";
    assert!(mistakes(&one.repeat(2), &[])[0].contains("`https://ci.example` is there twice"));
    let trusted = good(&format!("{one}algs = \"RS256 ES256\"\n"), &[]).oauth.trusted_issuers;
    assert_eq!(trusted[0].algs, [Algorithm::RS256, Algorithm::ES256]);
    assert!(matches!(&trusted[0].keys, config::IssuerKeys::File(file) if file.ends_with("keys.json")));
}

#[test]
fn login_providers_are_checked_field_by_field_and_their_secrets_are_not_shown() {
    let file = r#"[[login.providers]]
id = "Corp"
name = ""
issuer = "http://id.example"
client_id = "stockade"
scopes = "profile"
create = "yes"
client_secret = "inline"
client_secret_file = "none.txt"
[[login.providers]]
nam = "x"
"#;
    let found = mistakes(file, &[]);
    for expected in [
        "`login.providers[0].id`: `Corp` is no id",
        "`login.providers[0].name`: must not be empty",
        "`login.providers[0].issuer`: `http://id.example` is not https",
        "`login.providers[0].scopes`: must name `openid`",
        "`login.providers[0].create`: expected true or false, found text",
        "`client_secret` and `client_secret_file` are both set: keep one of them",
        "`client_secret_file`: cannot read",
        "`login.providers[1]` has no `id`",
        "`login.providers[1]` has no `issuer`",
        "unknown key `login.providers[1].nam`; did you mean `name`?",
    ] {
        assert!(found.iter().any(|found| found.contains(expected)), "{expected}: {found:#?}");
    }
    assert!(!format!("{found:?}").contains("inline"));
    let one =
        "[[login.providers]]\nid = \"corp\"\nname = \"Corp\"\nissuer = \"https://id.example/\"\nclient_id = \"s\"\n";
    let twice = mistakes(&one.repeat(2), &[]);
    assert!(twice[0].contains("the id `corp` is there twice") && twice[1].contains("the issuer"), "{twice:?}");
    let provider = good(one, &[]).login.providers.remove(0);
    assert_eq!(
        (provider.scopes.join(" ").as_str(), provider.username.as_str()),
        ("openid profile", "preferred_username")
    );
    assert!(!provider.create && provider.client_secret.is_none());
    let dir = tempfile::tempdir().unwrap();
    let (path, secret) = (dir.path().join("stockade.toml"), dir.path().join("secret"));
    std::fs::write(&secret, "kept in a file\n").unwrap();
    std::fs::write(
        &path,
        format!("[crypto]\nseal_keys = [\"{}\"]\n{one}client_secret_file = \"secret\"\n", "k".repeat(32)),
    )
    .unwrap();
    let read = config::read(Some(&path), &std::collections::BTreeMap::new());
    let config = read.config.unwrap();
    assert_eq!(config.login.providers[0].client_secret.as_ref().unwrap().expose(), "kept in a file");
    std::fs::write(&path, format!("{one}client_secret = \"hush hush\"\n")).unwrap();
    let read = config::read(Some(&path), &std::collections::BTreeMap::new());
    let shown = read.shown.iter().find(|shown| shown.key == "login.providers").unwrap();
    assert!(
        shown.value.contains("client_secret = \"[redacted]\"") && !format!("{read:?}").contains("hush"),
        "{shown:?}"
    );
}

#[test]
fn nothing_listens_beyond_loopback_without_tls_or_a_proxy() {
    for listen in ["0.0.0.0:8080", "[::]:8080", "192.0.2.7:8080", "[::ffff:192.0.2.7]:1"] {
        for key in ["listen", "ops_listen"] {
            let file = format!("[server]\n{key} = \"{listen}\"\n");
            let found = mistakes(&file, &[]);
            assert!(found[0].contains("beyond loopback without TLS"), "{key} {listen}: {found:?}");
            good(&file, &[("STOCKADE_SERVER__BEHIND_TLS_PROXY", "true")]);
            let tls = "[http.tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";
            good(&format!("{file}{tls}"), &[]);
        }
    }
    for listen in ["127.0.0.1:8080", "[::1]:8080", "127.9.9.9:1", "[::ffff:127.0.0.1]:1"] {
        good(&format!("[server]\nlisten = \"{listen}\"\n"), &[]);
    }
}

#[test]
fn half_of_a_certificate_is_refused() {
    let found = mistakes("[http.tls]\ncertificate = \"c.pem\"\n", &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("there is no `http.tls.key`"), "{found:?}");
}

#[test]
fn issuers_are_https_or_loopback_and_nothing_but_a_place() {
    for issuer in [
        "https://auth.example.com",
        "https://example.com/auth",
        "http://localhost:1",
        "http://127.0.0.1:1",
        "http://[::1]",
    ] {
        good("", &[("STOCKADE_SERVER__ISSUER", issuer)]);
    }
    for issuer in [
        "http://auth.example.com",
        "https://a.example/",
        "https://a.example?x=1",
        "https://a.example#x",
        "https://u:p@a.example",
        "a.example",
        "",
        "ftp://localhost",
    ] {
        let found = mistakes("", &[("STOCKADE_SERVER__ISSUER", issuer)]);
        assert!(found[0].starts_with("STOCKADE_SERVER__ISSUER: `server.issuer`"), "{issuer}: {found:?}");
    }
}

#[test]
fn a_missing_seal_key_is_a_mistake_and_a_short_one_too() {
    let none = config::load(None, &BTreeMap::new()).unwrap_err();
    assert!(none[0].to_string().contains("`stockade init DIR`"), "{none:?}");
    let found = mistakes("", &[("STOCKADE_CRYPTO__SEAL_KEYS", "hunter2")]);
    assert!(found[0].contains("number 1 is too short"), "{found:?}");
    assert!(!found[0].contains("hunter2"), "{found:?}");
    // 32 bytes in base64.
    good("", &[("STOCKADE_CRYPTO__SEAL_KEYS", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")]);
}

#[test]
fn secrets_come_from_files_one_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("seal");
    std::fs::write(&secret, format!("{KEY}\n\nsecond-{KEY}\n")).unwrap();
    let file = dir.path().join("stockade.toml");
    std::fs::write(&file, "[crypto]\nseal_keys_file = \"seal\"\n").unwrap();
    let config = config::load(Some(&file), &BTreeMap::new()).unwrap();
    assert_eq!(config.crypto.seal_keys.len(), 2);
    assert_eq!(config.crypto.seal_keys[1].expose(), &format!("second-{KEY}"));

    let env =
        BTreeMap::from([("STOCKADE_DATABASE__URL_FILE".to_owned(), dir.path().join("url").display().to_string())]);
    let missing = config::load(Some(&file), &env).unwrap_err();
    assert!(missing[0].to_string().contains("cannot read"), "{missing:?}");
    std::fs::write(dir.path().join("url"), "postgres://u:p@db/s\n").unwrap();
    let config = config::load(Some(&file), &env).unwrap();
    assert_eq!(config.database.url.expose(), "postgres://u:p@db/s");
    assert_eq!(config.database.sqlite_file(), None);
}

#[test]
fn a_secret_and_its_file_in_one_place_are_refused_but_the_environment_wins_over_the_file() {
    let both = format!("[crypto]\nseal_keys = [\"{KEY}\"]\nseal_keys_file = \"seal\"\n");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stockade.toml");
    std::fs::write(&file, both).unwrap();
    std::fs::write(dir.path().join("seal"), KEY).unwrap();
    let errors = config::load(Some(&file), &BTreeMap::new()).unwrap_err();
    assert!(errors[0].to_string().contains("`crypto.seal_keys` is set too"), "{errors:?}");

    std::fs::write(&file, "[crypto]\nseal_keys_file = \"nowhere\"\n").unwrap();
    assert!(config::load(Some(&file), &env(&[])).is_ok());
}

#[test]
fn what_is_shown_says_where_from_and_hides_secrets() {
    let file = format!("[crypto]\nseal_keys = [\"{KEY}\"]\n[database]\nurl = \"postgres://me:hunter2@db/s\"\n");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stockade.toml");
    std::fs::write(&path, file).unwrap();
    let env = BTreeMap::from([("STOCKADE_LOG__LEVEL".to_owned(), "debug".to_owned())]);
    let loaded = config::read(Some(&path), &env);
    let line = |key: &str| {
        let s = loaded.shown.iter().find(|s| s.key == key).unwrap();
        (s.value.clone(), s.origin.to_string())
    };
    assert_eq!(line("log.level"), ("\"debug\"".to_owned(), "STOCKADE_LOG__LEVEL".to_owned()));
    assert_eq!(line("crypto.seal_keys"), ("\"[redacted]\"".to_owned(), format!("{}:2", path.display())));
    assert_eq!(line("database.url"), ("\"postgres://[redacted]@db/s\"".to_owned(), format!("{}:4", path.display())));
    assert_eq!(line("http.drain"), ("\"20s\"".to_owned(), "default".to_owned()));
    let all = format!("{loaded:?}");
    assert!(!all.contains("hunter2") && !all.contains(KEY), "{all}");
}

#[test]
fn paths_start_from_the_file_or_the_working_directory() {
    let file = "[policy]\ndir = \"policies\"\n[http.tls]\ncertificate = \"tls/c.pem\"\nkey = \"/etc/k.pem\"\n";
    let (dir, loaded) = read(file, &[("STOCKADE_DATABASE__URL", "sqlite:here.db")]);
    let config = loaded.config.unwrap();
    assert_eq!(config.policy.dir, Some(dir.path().join("policies")));
    let tls = config.http.tls.unwrap();
    assert_eq!((tls.certificate, tls.key), (dir.path().join("tls/c.pem"), Path::new("/etc/k.pem").to_owned()));
    assert_eq!(config.database.url.expose(), "sqlite:here.db");
    let config = good("[database]\nurl = \"sqlite://deep/s.db\"\n", &[]);
    assert!(config.database.sqlite_file().unwrap().is_absolute());
}

#[test]
fn a_database_is_a_file_or_postgresql() {
    for url in ["mysql://db/s", "stockade.db", "sqlite:", "", "sqlite::memory:", "sqlite:x.db?mode=ro"] {
        let found = mistakes("", &[("STOCKADE_DATABASE__URL", url)]);
        assert!(found[0].contains("expected \"sqlite:FILE\""), "{url}: {found:?}");
    }
    let found = mistakes("[database]\nurl = \"sqlite:data/audit.db\"\n", &[]);
    assert!(found[0].contains("choose another name"), "{found:?}");
}
