//! `stockade dev`, `serve` and `healthcheck`: processes of their own.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Place, Said, binary, run_in};
use crate::support::postgres::free_port;

/// A running process that ends with the test.
pub(super) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    pub(super) fn start(mut command: Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    pub(super) async fn ready(&mut self, ops: u16) {
        let url = format!("http://127.0.0.1:{ops}/readyz");
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut poll = tokio::time::interval(Duration::from_millis(20));
        let answers = async {
            while !client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                assert!(self.0.try_wait().unwrap().is_none(), "it ended before it was ready");
                poll.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), answers).await.expect("ready within a minute");
    }

    async fn term(mut self) -> Option<i32> {
        let asked = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(asked.success());
        let mut poll = tokio::time::interval(Duration::from_millis(20));
        let ended = async {
            loop {
                if let Some(status) = self.0.try_wait().unwrap() {
                    return status.code();
                }
                poll.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends within a minute")
    }
}

pub(super) fn dev(data: &Path, port: u16, ops: u16) -> Command {
    let mut command = binary();
    command.args(["dev", "--listen", &format!("127.0.0.1:{port}"), "--ops-listen", &format!("127.0.0.1:{ops}")]);
    command.arg("--data").arg(data);
    command
}

fn variables(data: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(data.join("dev.env")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).unwrap()).collect()
}

/// A variable of `dev.env`, as a shell would have it.
pub(super) fn value(data: &Path, name: &str) -> String {
    let found = variables(data).into_iter().find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("no {name}")).1.trim_matches('\'').to_owned()
}

async fn token_status(port: u16, env: &[(String, String)], who: &str) -> u16 {
    let value = |name: &str| {
        let name = format!("{who}_CLIENT_{name}");
        env.iter().find(|(k, _)| *k == name).unwrap().1.trim_matches('\'').to_owned()
    };
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("http://127.0.0.1:{port}/oauth/token"));
    let request = request.basic_auth(value("ID"), Some(value("SECRET"))).form(&[("grant_type", "client_credentials")]);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_second_start_keeps_credentials_and_edits_at_new_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (port, ops) = (free_port(), free_port());
    let mut server = Server::start(dev(&data, port, ops));
    server.ready(ops).await;
    let first = variables(&data);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(data.join("dev.env")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    for who in ["DEMO", "READER", "AUDITOR", "ADMIN", "PDP"] {
        assert_eq!(token_status(port, &first, who).await, 200, "{who}");
    }
    assert_eq!(server.term().await, Some(0), "asked to stop, it ends well");

    let config = data.join("stockade.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[log]\nlevel = \"error\" # mine\n")).unwrap();
    std::fs::remove_file(data.join("policies/grant/access.cedar")).unwrap();
    let (port, ops) = (free_port(), free_port());
    let mut server = Server::start(dev(&data, port, ops));
    server.ready(ops).await;
    let second = variables(&data);
    let secrets = |env: &[(String, String)]| {
        env.iter().filter(|(name, _)| name.contains("_CLIENT_")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(secrets(&first), secrets(&second));
    assert!(second.contains(&("ISSUER".to_owned(), format!("'http://localhost:{port}'"))), "{second:?}");
    assert_eq!(token_status(port, &second, "READER").await, 200);
    assert!(std::fs::read_to_string(&config).unwrap().contains("level = \"error\" # mine"));
    assert!(!data.join("policies/grant/access.cedar").exists(), "what was taken out comes back");

    // The command line reaches the same store while it runs.
    let said = run_in(dir.path(), &["client", "show", "reader", "--config", "data/stockade.toml"]);
    assert!(said.code == 0 && said.out.contains(&format!("http://localhost:{port}/demo")), "{said:?}");
    let said = run_in(dir.path(), &["healthcheck", "--config", "data/stockade.toml"]);
    assert!(said.code == 0 && said.out.contains("ready"), "{said:?}");
    assert_eq!(server.term().await, Some(0));
    let said = run_in(dir.path(), &["healthcheck", "--config", "data/stockade.toml"]);
    assert!(said.code == 1 && !said.err.is_empty(), "{said:?}");
}

#[tokio::test]
async fn a_deleted_demo_client_is_back_with_a_new_secret_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (port, ops) = (free_port(), free_port());
    let mut server = Server::start(dev(&data, port, ops));
    server.ready(ops).await;
    let first = variables(&data);
    assert_eq!(server.term().await, Some(0));
    let said = run_in(&data, &["client", "delete", "demo"]);
    assert_eq!(said.code, 0, "{said:?}");
    let mut server = Server::start(dev(&data, port, ops));
    server.ready(ops).await;
    let second = variables(&data);
    let changed: Vec<&str> = first.iter().zip(&second).filter(|(a, b)| a != b).map(|(a, _)| a.0.as_str()).collect();
    assert_eq!(changed, ["DEMO_CLIENT_SECRET"]);
    assert_eq!(token_status(port, &second, "DEMO").await, 200);
}

#[test]
fn e16_dev_stays_on_loopback_and_wants_a_port() {
    let dir = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:8080", "192.0.2.1:8080", "[::]:8080", "127.0.0.1:0", "nowhere"] {
        for flag in ["--listen", "--ops-listen"] {
            let said = run_in(dir.path(), &["dev", flag, address]);
            assert_eq!(said.code, 2, "{flag} {address}: {said:?}");
        }
    }
    assert_eq!(run_in(dir.path(), &["dev", "--listen", "127.0.0.1:8081"]).code, 2, "both on one address");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_taken_address_is_named_and_leaves_the_credentials_of_who_has_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut command = dev(&dir.path().join("data"), address.port(), free_port());
    let said = Said::from(command.output().unwrap());
    assert!(said.code == 1 && said.err.contains(&format!("{address} is taken")), "{said:?}");
    assert!(!dir.path().join("data/dev.env").exists());

    let place = Place::new();
    let mut command = binary();
    command.current_dir(place.path()).arg("serve").env("STOCKADE_SERVER__LISTEN", address.to_string());
    command.env("STOCKADE_SERVER__OPS_LISTEN", format!("127.0.0.1:{}", free_port()));
    let said = Said::from(command.output().unwrap());
    assert!(said.code == 1 && said.err.contains(&format!("{address} is taken")), "{said:?}");
}

#[test]
fn a_service_without_good_policies_does_not_start_and_says_why() {
    let place = Place::new();
    std::fs::write(place.path().join("policies/grant/broken.cedar"), "@id(\"x\")\npermit (principal,\n").unwrap();
    let said = place.run(&["serve"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("policies/grant/broken.cedar:"), "{said:?}");
}

#[tokio::test]
async fn the_doctor_finds_nothing_wrong_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (port, ops) = (free_port(), free_port());
    let mut server = Server::start(dev(&data, port, ops));
    server.ready(ops).await;
    for arguments in [vec!["doctor"], vec!["doctor", "--bcp"]] {
        let said = run_in(&data, &arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
    }
    let said = run_in(&data, &["doctor", "--output", "json"]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&said.out).unwrap();
    let wrong: Vec<_> = rows.iter().filter(|row| row["verdict"] != "ok" && row["section"] != "disk").collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
