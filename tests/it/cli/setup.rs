//! From nothing to a configured place: init, check, config, migrate, backup, completions, man.

use super::{Place, binary, run_in};

#[test]
fn the_definitions_are_consistent() {
    stockade::cli::definition().debug_assert();
}

#[test]
fn a_starter_checks_and_is_never_written_over() {
    let place = Place::new();
    let said = place.run(&["check"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("nothing wrong"), "{said:?}");

    let before = std::fs::read(place.file()).unwrap();
    let said = place.run(&["init", "."]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("is left as it is"), "{said:?}");
    assert_eq!(std::fs::read(place.file()).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn what_holds_secrets_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    assert_eq!(place.run(&["migrate"]).code, 0);
    for file in ["stockade.toml", "stockade.db", "audit.db"] {
        let mode = std::fs::metadata(place.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn two_starters_have_different_seal_keys() {
    let key = |place: &Place| {
        let text = std::fs::read_to_string(place.file()).unwrap();
        text.lines().find(|line| line.starts_with("seal_keys = [")).unwrap().to_owned()
    };
    let (a, b) = (key(&Place::new()), key(&Place::new()));
    assert_ne!(a, b);
    assert!(a.len() > 50, "{a}");
}

#[test]
fn check_reports_configuration_and_policies_at_once() {
    let place = Place::new();
    let text = std::fs::read_to_string(place.file()).unwrap();
    std::fs::write(place.file(), text.replace("[http.tls]\n", "[http.tls]\ncertificat = \"x\"\n[http.tls.x]\n"))
        .unwrap();
    let said = place.run(&["check"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("unknown key `http.tls.certificat`; did you mean `http.tls.certificate`?"), "{said:?}");

    std::fs::write(place.file(), text.replace("certificate = \"\"\nkey = \"\"", "certificate = \"c\"\nkey = \"k\""))
        .unwrap();
    let policy = place.path().join("policies/grant/tokens.cedar");
    std::fs::write(&policy, "permit (principal, action, resource)\nwhen { principal.nose };\nforbid (").unwrap();
    let said = place.run(&["check"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("[http.tls]: cannot read"), "{said:?}");
    assert!(said.err.contains("policies/grant/tokens.cedar:"), "{said:?}");
}

#[test]
fn policy_check_names_file_line_and_column() {
    let place = Place::new();
    assert_eq!(place.run(&["policy", "check", "policies"]).code, 0);
    std::fs::write(place.path().join("policies/grant/broken.cedar"), "@id(\"x\")\npermit (principal, action\n")
        .unwrap();
    let said = place.run(&["policy", "check", "policies"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("policies/grant/broken.cedar:"), "{said:?}");
    let misplaced = "// fine\n@id(\"x\") forbid (principal, action, resource);\n";
    std::fs::write(place.path().join("policies/grant/broken.cedar"), misplaced).unwrap();
    for command in [&["policy", "check", "policies"][..], &["check"]] {
        let said = place.run(command);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains("policies/grant/broken.cedar:2:1: `x` forbids"), "{command:?}: {said:?}");
    }
    let said = place.run(&["policy", "check", "nowhere"]);
    assert_eq!(said.code, 2, "{said:?}");
}

#[test]
fn config_show_prints_origins_and_no_secret_even_of_a_broken_file() {
    let place = Place::new();
    let text = std::fs::read_to_string(place.file()).unwrap();
    let key = text.split("seal_keys = [\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let show = |env: (&str, &str)| {
        let mut command = binary();
        command.current_dir(place.path()).args(["config", "show", "--origin"]).env(env.0, env.1);
        super::Said::from(command.output().unwrap())
    };
    let said = show(("STOCKADE_LOG__LEVEL", "debug"));
    assert_eq!(said.code, 0, "{said:?}");
    let line = said.out.lines().find(|line| line.starts_with("log.level")).unwrap();
    assert!(line.contains("\"debug\"") && line.ends_with("STOCKADE_LOG__LEVEL"), "{line}");
    assert!(said.out.contains("[redacted]") && !said.out.contains(&key), "{said:?}");

    let said = show(("STOCKADE_LOG__LEVEL", ""));
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("server.listen") && said.err.contains("STOCKADE_LOG__LEVEL"), "{said:?}");
    assert!(!said.err.contains(&key), "{said:?}");
}

#[test]
fn migrate_says_what_it_did_and_status_what_is_missing() {
    let place = Place::new();
    let said = place.run(&["migrate", "status"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("0001_core") && said.out.contains("no"), "{said:?}");
    let said = place.run(&["migrate"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("applied 0001_core"), "{said:?}");
    let said = place.run(&["migrate"]);
    assert!(said.code == 0 && said.out.contains("nothing to do"), "{said:?}");
    let rows = place.json(&["migrate", "status"]);
    assert!(rows.as_array().unwrap().iter().all(|row| row["applied"] == true), "{rows}");
}

#[test]
fn a_backup_is_a_store_with_the_same_clients_and_is_never_written_over() {
    let place = Place::new();
    place.json(&["client", "create", "--id", "kept"]);
    let said = place.run(&["backup", "copy.db"]);
    assert_eq!(said.code, 0, "{said:?}");
    let again = place.run(&["backup", "copy.db"]);
    assert!(again.code == 1 && again.err.contains("is left as it is"), "{again:?}");

    let mut command = binary();
    command.current_dir(place.path()).args(["client", "show", "kept"]).env("STOCKADE_DATABASE__URL", "sqlite:copy.db");
    let said = super::Said::from(command.output().unwrap());
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn a_backup_of_postgresql_is_a_line_without_the_password() {
    let place = Place::new();
    let mut command = binary();
    command.current_dir(place.path()).args(["backup", "copy.dump"]);
    command.env("STOCKADE_DATABASE__URL", "postgres://me:hunter2@db.example/stockade");
    let said = super::Said::from(command.output().unwrap());
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.out.trim(), "pg_dump --format=custom --file=copy.dump 'postgres://me@db.example/stockade'");
}

#[test]
fn completions_and_manual_know_every_command() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let said = run_in(dir.path(), &["completions", shell]);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.out.contains("rotate-secret"), "{shell}");
    }
    assert!(run_in(dir.path(), &["man"]).out.contains(".TH stockade 1"));
    assert_eq!(run_in(dir.path(), &["man", "--out", "pages"]).code, 0);
    for command in stockade::cli::definition().get_subcommands() {
        let page = dir.path().join(format!("pages/stockade-{}.1", command.get_name()));
        assert!(page.is_file(), "{}", page.display());
    }
}

#[test]
fn wrong_usage_is_exit_code_2_and_a_missing_configuration_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run_in(dir.path(), &["clint"]).code, 2);
    assert_eq!(run_in(dir.path(), &[]).code, 2);
    let said = run_in(dir.path(), &["client", "list"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("`stockade init DIR`"), "{said:?}");
    let said = run_in(dir.path(), &["--config", "nowhere.toml", "check"]);
    assert!(said.code == 2 && said.err.contains("cannot read nowhere.toml"), "{said:?}");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = binary();
    command.current_dir(dir.path()).args(["completions", "zsh"]);
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let said = super::Said::from(child.wait_with_output().unwrap());
    assert!(said.code == 0 && said.err.is_empty(), "{said:?}");
}

/// Exit 1 means that something does not hold: what cannot even be looked at is 2, and says what to do.
#[test]
fn without_a_configuration_nobody_can_tell_and_the_answer_says_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    for command in [&["audit", "verify"][..], &["audit", "query"], &["client", "list"], &["migrate"], &["serve"]] {
        let said = run_in(empty.path(), command);
        assert_eq!(said.code, 2, "{command:?}: {said:?}");
        assert!(said.err.contains("stockade init DIR") && said.err.contains("--config"), "{command:?}: {said:?}");
        assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "{command:?} leaves nothing behind");
    }
    let commands = [
        &["audit", "verify"][..],
        &["audit", "query"],
        &["audit", "export"],
        &["backup", "copy.db"],
        &["check"],
        &["client", "list"],
        &["config", "show"],
        &["healthcheck"],
        &["key", "list"],
        &["migrate"],
        &["migrate", "status"],
        &["serve"],
        &["token", "introspect"],
    ];
    for command in commands {
        let said = run_in(empty.path(), &[command, &["--config", "missing.toml"]].concat());
        assert_eq!(said.code, 2, "{command:?}: {said:?}");
        let errors: Vec<&str> = said.err.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "one cause, one line: {said:?}");
        assert!(errors[0].contains("cannot read missing.toml") && errors[0].contains("--config"), "{said:?}");
    }
}

#[test]
fn a_log_whose_database_does_not_answer_is_neither_whole_nor_changed() {
    let place = Place::new();
    let port = crate::support::postgres::free_port();
    let mut command = binary();
    command.current_dir(place.path()).args(["audit", "verify"]);
    command.env("STOCKADE_DATABASE__URL", format!("postgres://stockade@127.0.0.1:{port}/nowhere"));
    let said = super::Said::from(command.output().unwrap());
    assert!(said.code == 2 && said.err.contains("database"), "{said:?}");
}
