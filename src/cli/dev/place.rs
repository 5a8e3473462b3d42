//! The directory of `stockade dev`: configuration, policies, demo clients, `dev.env`.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use http::Method;
use serde_json::json;

use super::super::api::{Api, At};
use super::super::failure::Failure;
use super::super::local::Local;
use super::super::user;
use super::super::{init, login};
use crate::base::{Clock as _, Secret};
use crate::config;
use crate::crypto::secret_text::{self, Kind};
use crate::crypto::{b64url, compare, sha256};
use crate::model::client::ClientSecret;
use crate::model::{AuthMethod, Client, CredentialKind, GrantType, Outcome, event};
use crate::policy::Resource;
use crate::store::{clients, credentials, findings, users};

/// A client of the demo: the prefix of its variables, its id, its scopes, and whether its tokens are for the demo API.
pub(super) struct Demo {
    pub(super) variable: &'static str,
    id: &'static str,
    scopes: &'static [&'static str],
    for_notes: bool,
}

const DEMO: [Demo; 5] = [
    Demo { variable: "DEMO", id: "demo", scopes: &["notes:read", "notes:write"], for_notes: true },
    Demo { variable: "READER", id: "reader", scopes: &["notes:read"], for_notes: true },
    Demo { variable: "AUDITOR", id: "auditor", scopes: &["audit:read", "findings:read"], for_notes: false },
    Demo { variable: "ADMIN", id: "admin", scopes: &["admin"], for_notes: false },
    Demo { variable: "PDP", id: "pdp", scopes: &["pdp"], for_notes: false },
];

/// The client of `stockade try code` and `device`, and of whoever signs people in while developing: public, at a loopback
/// address, whatever the port.
const TRY: &str = "try";

/// Who signs in at the demo.
const DEMO_USER: &str = "demo";

/// Ids and secrets, as `dev.env` has them.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) id: &'static str,
    pub(super) secret: Secret<String>,
}

/// Where `stockade dev` lives.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) ops_listen: SocketAddr,
}

impl Place {
    /// `http://localhost:PORT`: browsers allow passkeys there, not at an address.
    pub(super) fn issuer(&self) -> String {
        format!("http://localhost:{}", self.listen.port())
    }

    pub(super) fn ops(&self) -> String {
        format!("http://{}", self.ops_listen)
    }

    pub(super) fn api(&self) -> String {
        format!("{}/demo", self.issuer())
    }

    pub(super) fn config(&self) -> PathBuf {
        self.dir.join(config::FILE_NAME)
    }

    pub(super) fn env_file(&self) -> PathBuf {
        self.dir.join("dev.env")
    }

    /// Takes the directory for this process, until the lock is dropped or the process ends, however it ends.
    pub(super) fn lock(&self) -> Result<fs::File, Failure> {
        let dir = self.dir.display();
        fs::create_dir_all(&self.dir).map_err(|e| Failure::failed(format!("cannot make {dir}: {e}")))?;
        let file = fs::OpenOptions::new().create(true).append(true).open(self.dir.join("dev.lock"));
        let file = file.map_err(|e| Failure::failed(format!("cannot write in {dir}: {e}")))?;
        file.try_lock().map_err(|_| {
            Failure::failed(format!("{dir} is in use by another `stockade dev`: stop it, or choose another --data"))
        })?;
        Ok(file)
    }

    /// Writes what is missing, and brings addresses up to date. What was edited stays.
    pub(super) fn furnish(&self) -> Result<(), Failure> {
        let file = self.config();
        match fs::read_to_string(&file) {
            Ok(text) => {
                let moved = self.readdressed(&text);
                if moved != text {
                    init::private(&file, &moved)?;
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => init::private(&file, &self.starter())?,
            Err(e) => return Err(Failure::failed(format!("cannot read {}: {e}", file.display()))),
        }
        // An existing set is the user's, whatever they took out of it.
        let policies = self.dir.join("policies");
        if policies.is_dir() { Ok(()) } else { init::write_policies(&policies) }
    }

    fn addresses(&self) -> [(&'static str, String); 5] {
        [
            ("issuer", format!("\"{}\"", self.issuer())),
            ("listen", format!("\"{}\"", self.listen)),
            ("ops_listen", format!("\"{}\"", self.ops_listen)),
            ("resources", format!("[{{ id = \"{}\", tokens = \"jwt\" }}]", self.api())),
            ("default_resource", format!("\"{}\"", self.api())),
        ]
    }

    fn starter(&self) -> String {
        let [issuer, listen, ops_listen, resources, default_resource] =
            self.addresses().map(|(key, value)| format!("{key} = {value}"));
        let seal = init::seal_key();
        format!(
            "# Written by `stockade dev`, which keeps these addresses up to date and leaves the rest as it is.\n\
             # `stockade --config` this file reaches the same store, also while it runs. All keys: `stockade init`.\n\n\
             [server]\n{issuer}\n{listen}\n{ops_listen}\n\n\
             [database]\nurl = \"sqlite:stockade.db\"\n\n\
             [crypto]\nseal_keys = [\"{seal}\"]\n\n\
             [oauth]\n{resources}\n{default_resource}\n\n\
             [policy]\ndir = \"policies\"\n\n\
             # A debug build on a busy machine needs longer than a service to commit.\n\
             [audit_log]\npatience = \"2s\"\n\n\
             # To try findings out: let them count at once.\n\
             [findings.risk]\nmode = \"on\"\n\n\
             [login]\naddress_guesses = \"1000/s burst 2000\"\n\
             scopes = [{{ name = \"notes:read\", words = \"Read your notes\" }}, \
             {{ name = \"notes:write\", words = \"Write notes in your name\" }}]\n\n\
             [limits]\naddress = \"10000/s burst 20000\"\ntoken_address = \"5000/s burst 10000\"\n\
             token_client = \"5000/s burst 10000\"\naccess_client = \"100000/s burst 200000\"\n"
        )
    }

    /// The file with this start's addresses in place of the last one's.
    fn readdressed(&self, text: &str) -> String {
        let addresses = self.addresses();
        let mut out = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let name = line.split_once('=').map(|(name, _)| name.trim());
            // Resources of the user's own are theirs to move.
            let own = |key: &str| match key {
                "resources" => line.matches("id =").count() == 1 && line.contains("/demo\""),
                "default_resource" => line.contains("/demo\""),
                _ => true,
            };
            match addresses.iter().find(|(key, _)| Some(*key) == name && own(key)) {
                Some((key, value)) => out.push_str(&format!("{key} = {value}\n")),
                None => out.push_str(line),
            }
        }
        out
    }

    /// The demo's clients, in the store and in step with this start's addresses. Secrets of the last start are kept.
    pub(super) async fn people(&self) -> Result<Vec<(&'static Demo, Credentials)>, Failure> {
        let file = self.config();
        let local = Local::open(Some(&file)).await?;
        let kept = fs::read_to_string(self.env_file()).unwrap_or_default();
        let mut all = Vec::new();
        for demo in &DEMO {
            let secret = variable(&kept, &format!("{}_CLIENT_SECRET", demo.variable)).map(Secret::new);
            all.push((demo, self.settle(&local, demo, secret).await?));
        }
        let known = clients::find(&mut local.store.read().await?, login::CLIENT).await?;
        self.settle_public(&local).await?;
        local.store.close().await;
        self.settle_login(known.map(|stored| stored.client)).await?;
        Ok(all)
    }

    /// The client of `stockade login`, in step with this start's addresses.
    async fn settle_login(&self, known: Option<Client>) -> Result<(), Failure> {
        let issuer = self.issuer();
        if known.as_ref().is_some_and(|client| client.default_resource == issuer) {
            return Ok(());
        }
        let api = Api::open(&At { config: Some(self.config()), ..At::default() }).await?;
        let done = match known {
            None => api.post("/api/v1/clients", &login::registration(&issuer)).await,
            Some(_) => {
                let moved = json!({ "resources": [issuer], "default_resource": issuer });
                api.send(Method::PATCH, &format!("/api/v1/clients/{}", login::CLIENT), Some(&moved)).await
            }
        };
        api.close(done.map(drop)).await
    }

    /// The client that people use.
    async fn settle_public(&self, local: &Local) -> Result<(), Failure> {
        let found = clients::find(&mut local.store.read().await?, TRY).await?;
        let resources = vec![self.issuer(), self.api()];
        let client = match &found {
            Some(stored) => Client { resources, default_resource: self.issuer(), ..stored.client.clone() },
            None => Client {
                client_name: Some("the test client".to_owned()),
                grants: vec![GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::DeviceCode],
                scopes: ["openid", "profile", "email", "offline_access", "notes:read", "notes:write"]
                    .map(str::to_owned)
                    .into(),
                redirect_uris: vec!["http://127.0.0.1/callback".to_owned()],
                resources,
                default_resource: self.issuer(),
                ..Client::new(TRY, AuthMethod::None, local.clock.now())
            },
        };
        let version = found.as_ref().map(|stored| stored.version);
        if found.is_some_and(|stored| stored.client == client) {
            return Ok(());
        }
        self.keep(local, &client, version).await
    }

    /// Writes a client as the operator, decided and recorded.
    async fn keep(&self, local: &Local, client: &Client, version: Option<i64>) -> Result<(), Failure> {
        let action = if version.is_some() { "client:update" } else { "client:create" };
        let decision = local.permit(event::kind::CLIENT_CHANGED, action, &Resource::client_registry()).await?;
        let mut tx = local.store.begin().await?;
        match version {
            Some(version) => drop(clients::update(&mut tx, client, version).await?),
            None => clients::insert(&mut tx, client).await?,
        }
        let id = client.client_id.as_str();
        let event = local.event(event::kind::CLIENT_CHANGED, Outcome::Allowed, action, &format!("Client::{id:?}"));
        local.commit(tx, &event.decided(&decision).with("change", "demo").with("client_id", id)).await
    }

    async fn settle(
        &self,
        local: &Local,
        demo: &'static Demo,
        kept: Option<Secret<String>>,
    ) -> Result<Credentials, Failure> {
        let found = clients::find(&mut local.store.read().await?, demo.id).await?;
        let known = |client: &Client, secret: &Secret<String>| {
            let digest = b64url::encode(&secret_text::digest(secret.expose()));
            client.secrets.iter().any(|known| compare::equal(known.digest.as_bytes(), digest.as_bytes()))
        };
        let before = found.as_ref().map(|stored| stored.client.clone());
        let mut client = before.clone().unwrap_or_else(|| new_client(local, demo));
        let secret = match kept.filter(|secret| known(&client, secret)) {
            Some(secret) => secret,
            None => {
                let secret = secret_text::generate(Kind::ClientSecret, &local.rng);
                let digest = b64url::encode(&secret_text::digest(secret.expose()));
                client.secrets = vec![ClientSecret { digest, created_at: local.clock.now(), expires_at: None }];
                secret
            }
        };
        let home = if demo.for_notes { self.api() } else { self.issuer() };
        if client.default_resource != home {
            client.resources = vec![self.issuer()];
            if demo.for_notes {
                client.resources.push(self.api());
            }
            client.default_resource = home;
        }
        if before.as_ref() != Some(&client) {
            self.keep(local, &client, found.map(|stored| stored.version)).await?;
        }
        Ok(Credentials { id: demo.id, secret })
    }

    /// A few findings that say they are made up, in a place that has none.
    pub(super) async fn samples(&self) -> Result<(), Failure> {
        let local = Local::open(Some(&self.config())).await?;
        let any = findings::page(&mut local.store.read().await?, &findings::Filter::default(), None, 1).await?;
        if any.is_empty() {
            local.permit(event::kind::FINDING_REVISED, "finding:import", &Resource::findings()).await?;
            let (by, samples) = (local.operator(), crate::findings::SAMPLES.as_bytes());
            let done = crate::findings::import(&local.store, samples, by.reference(), &local.clock, &local.rng).await;
            done.map_err(|error| Failure::chain(&error))?;
        }
        local.store.close().await;
        Ok(())
    }

    /// Somebody who signs in, with a password only. The password of the last start is kept.
    pub(super) async fn person(&self) -> Result<Person, Failure> {
        let kept = fs::read_to_string(self.env_file()).unwrap_or_default();
        let (kept, proof) = (variable(&kept, "DEMO_PASSWORD"), variable(&kept, PROOF));
        let (known, stored) = self.password_hash().await?;
        // What is hashed slowly is not hashed at each start: the last one wrote down that the two belong together.
        if let (Some(kept), Some(proof), Some(stored)) = (kept, proof, stored)
            && proof == proven(&kept, &stored)
        {
            return Ok(Person { password: Secret::new(kept), proof });
        }
        let api = Api::open(&At { config: Some(self.config()), ..At::default() }).await?;
        let made = user::with_new_password(&api, DEMO_USER, known).await;
        let password = api.close(made).await?;
        let (_, stored) = self.password_hash().await?;
        let proof = proven(password.expose(), &stored.unwrap_or_default());
        Ok(Person { password, proof })
    }

    /// Whether there is such a person, and how their password is stored.
    async fn password_hash(&self) -> Result<(bool, Option<Vec<u8>>), Failure> {
        let local = Local::open(Some(&self.config())).await?;
        let mut reader = local.store.read().await?;
        let found = users::find_by_username(&mut reader, DEMO_USER).await?;
        let held = match &found {
            Some(stored) => credentials::of_user(&mut reader, &stored.user.user_id).await?,
            None => Vec::new(),
        };
        drop(reader);
        local.store.close().await;
        let password = held.into_iter().find(|one| one.kind == CredentialKind::Password);
        Ok((found.is_some(), password.map(|one| one.body)))
    }

    /// Writes `dev.env`, whole or not at all, for its owner's eyes.
    pub(super) fn tell(&self, people: &[(&'static Demo, Credentials)], person: &Person) -> Result<(), Failure> {
        let mut text =
            "# Written by `stockade dev`: `. dev.env` in a shell. Demo credentials of this directory alone.\n"
                .to_owned();
        let mut set = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name}='{}'", value.replace('\'', "'\\''"));
        };
        set("ISSUER", &self.issuer());
        set("OPS", &self.ops());
        set("API", &self.api());
        for (demo, credentials) in people {
            set(&format!("{}_CLIENT_ID", demo.variable), credentials.id);
            set(&format!("{}_CLIENT_SECRET", demo.variable), credentials.secret.expose());
        }
        set("TRY_CLIENT_ID", TRY);
        set("DEMO_USER", DEMO_USER);
        set("DEMO_PASSWORD", person.password.expose());
        set(PROOF, &person.proof);
        init::private(&self.env_file(), &text)
    }
}

/// Who signs in at the demo.
pub(super) struct Person {
    password: Secret<String>,
    /// See [`proven`].
    proof: String,
}

/// A line of `dev.env` that no shell takes for a variable.
const PROOF: &str = "# DEMO_PASSWORD fits";

/// What only this password and this stored hash give.
fn proven(password: &str, stored: &[u8]) -> String {
    b64url::encode(&sha256(&[stored, b"\0", password.as_bytes()].concat()))
}

fn new_client(local: &Local, demo: &Demo) -> Client {
    Client {
        grants: vec![GrantType::ClientCredentials],
        scopes: demo.scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..Client::new(demo.id, AuthMethod::ClientSecretBasic, local.clock.now())
    }
}

/// A variable of an earlier `dev.env`.
pub(in crate::cli) fn variable(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('\'').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(port: u16) -> Place {
        let on = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Place { dir: PathBuf::from("x"), listen: on(port), ops_listen: on(port + 1) }
    }

    #[test]
    fn new_addresses_replace_the_last_ones_and_leave_edits_alone() {
        let first = place(1000).starter();
        let edited = first.replace("[limits]", "[log]\nlevel = \"debug\" # mine\n\n[limits]");
        let moved = place(2000).readdressed(&edited);
        assert!(
            moved.contains("issuer = \"http://localhost:2000\"") && moved.contains("ops_listen = \"127.0.0.1:2001\"")
        );
        assert!(moved.contains("default_resource = \"http://localhost:2000/demo\""), "{moved}");
        assert!(moved.contains("id = \"http://localhost:2000/demo\"") && !moved.contains("1000\""), "{moved}");
        assert!(moved.contains("level = \"debug\" # mine"));
        assert_eq!(place(1000).readdressed(&moved), edited);
        let own = "resources = [{ id = \"https://a.example/demo\" }, { id = \"https://b.example/demo\" }]\n";
        assert_eq!(place(2000).readdressed(own), own);
        let chosen = "default_resource = \"https://a.example\"\n";
        assert_eq!(place(2000).readdressed(chosen), chosen);
    }

    #[test]
    fn a_variable_is_read_back() {
        assert_eq!(variable("A='1'\nAB='2'\n", "AB").as_deref(), Some("2"));
        assert_eq!(variable("AB='2'\n", "A"), None);
    }
}
