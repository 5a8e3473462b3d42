//! Debian's Apache with mod_auth_openidc signs people in to a page that it guards, and signs them out: at once when the server
//! calls it back.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::super::stage::{Process, until};
use super::Scene;
use super::person::Person;
use crate::support::postgres::free_port;
use crate::support::skip;

const MODULES: &str = "/usr/lib/apache2/modules";

/// Apache itself and its module, where Debian puts them.
fn installed() -> Option<PathBuf> {
    let apache = PathBuf::from("/usr/sbin/apache2");
    (apache.exists() && Path::new(MODULES).join("mod_auth_openidc.so").exists()).then_some(apache)
}

fn configuration(home: &Path, port: u16, scene: &Scene, secret: &str) -> String {
    let modules: String = ["mpm_event", "authn_core", "authz_core", "authz_user", "dir", "headers", "auth_openidc"]
        .map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"))
        .concat();
    let (home, issuer) = (home.display(), &scene.stage.issuer);
    let here = format!("http://localhost:{port}");
    format!(
        "ServerRoot {home}\nDefaultRuntimeDir {home}\nPidFile {home}/pid\nErrorLog {home}/error.log\nLogLevel info\n\
         ServerName localhost\nListen 127.0.0.1:{port}\n{modules}\n\
         User www-data\nGroup www-data\n\
         DocumentRoot {home}/htdocs\nDirectoryIndex index.html\n\
         OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration\n\
         OIDCClientID apache\nOIDCClientSecret {secret}\n\
         OIDCRedirectURI {here}/private/cb\nOIDCDefaultLoggedOutURL {here}/out.html\n\
         OIDCCryptoPassphrase of-a-test-alone\nOIDCScope \"openid profile email\"\n\
         OIDCResponseType code\nOIDCPKCEMethod S256\nOIDCProviderBackChannelLogoutSupported On\n\
         OIDCRemoteUserClaim preferred_username\nOIDCPassIDTokenAs claims serialized\nOIDCPassRefreshToken On\n\
         <Location /private>\n\
         AuthType openid-connect\nRequire valid-user\n\
         Header always set X-Person \"%{{OIDC_CLAIM_preferred_username}}e %{{OIDC_CLAIM_email}}e\"\n\
         Header always set X-Access-Token \"%{{OIDC_access_token}}e\"\n\
         Header always set X-Id-Token \"%{{OIDC_id_token}}e\"\n\
         </Location>\n"
    )
}

/// Apache on a port of its own, until it is dropped.
struct Apache {
    process: Process,
    dir: TempDir,
}

impl Apache {
    async fn start(binary: &Path, port: u16, scene: &Scene, secret: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        // Started by root, it answers as somebody else, who must come in here.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("its mode");
        for (name, text) in [("private/index.html", "the guarded page"), ("out.html", "signed out")] {
            let file = dir.path().join("htdocs").join(name);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            std::fs::write(file, text).expect("a page");
        }
        let file = dir.path().join("apache2.conf");
        std::fs::write(&file, configuration(dir.path(), port, scene, secret)).expect("the configuration");
        let mut command = Command::new(binary);
        // One process, in the foreground: it ends with the test.
        command.arg("-X").arg("-f").arg(&file);
        let process = Process::start(command, &dir.path().join("apache.log"));
        let apache = Self { process, dir };
        until("Apache listens", || async {
            assert!(apache.process.status().is_none(), "Apache ended: {}", apache.said());
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        apache
    }

    fn said(&self) -> String {
        self.process.printed() + &std::fs::read_to_string(self.dir.path().join("error.log")).unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apache_signs_people_in_and_out_and_hears_when_they_sign_out_elsewhere() {
    let Some(binary) = installed() else {
        return skip("Apache is not installed: apt-get install apache2 libapache2-mod-auth-openidc");
    };
    let scene = Scene::with(&[("STOCKADE_OUTBOUND__NETWORKS", "127.0.0.0/8,::1/128")]).await;
    let port = free_port();
    let here = format!("http://localhost:{port}");
    let made = scene
        .client(json!({
            "client_id": "apache", "client_name": "The intranet", "grants": ["authorization_code", "refresh_token"],
            "scopes": ["openid", "profile", "email"], "redirect_uris": [format!("{here}/private/cb")],
            "post_logout_redirect_uris": [format!("{here}/out.html")],
            "backchannel_logout_uri": format!("{here}/private/cb?logout=backchannel"),
        }))
        .await;
    let secret = made["client_secret"].as_str().expect("a secret");
    let apache = Apache::start(&binary, port, &scene, secret).await;
    let made = scene.person(json!({ "username": "ada", "email": "ada@example.com" })).await;
    let ada = Person::new(&scene.seen, &scene.stage.http, "ada", made["password"].as_str().expect("a password"));

    let private = format!("{here}/private/");
    let page = ada.through(&private).await;
    let printed = || apache.said();
    assert_eq!((page.status, page.html.as_str()), (200, "the guarded page"), "at {}: {}", page.url, printed());
    let header = |name: &str| page.headers.get(name).map_or("", |value| value.to_str().expect("text")).to_owned();
    assert_eq!(header("x-person"), "ada ada@example.com");
    for name in ["x-access-token", "x-id-token"] {
        assert!(header(name).len() > 100, "{name}: {}", header(name));
        scene.seen.keep(&header(name));
    }

    // Signed out at Apache, which sends the browser to the server and gets it back; then nobody is signed in anywhere.
    let page = ada.open(&format!("{here}/private/cb?logout={}", urlencoded(&format!("{here}/out.html")))).await;
    assert_eq!(page.html, "signed out", "at {}: {}", page.url, printed());
    let page = ada.open(&private).await;
    assert!(page.html.contains("name=\"password\""), "at {}", page.url);

    // Signed out at the server, which tells Apache.
    let page = ada.through(&private).await;
    assert_eq!(page.html, "the guarded page", "at {}: {}", page.url, printed());
    assert_eq!(ada.open(&private).await.url.as_str(), private, "Apache asks nobody while its session lasts");
    let page = ada.open(&format!("{}/login/logout", scene.stage.issuer)).await;
    ada.submit(&page, &[]).await;
    until("Apache has heard of it", || async {
        let page = ada.open(&private).await;
        page.html.contains("name=\"password\"").then_some(())
    })
    .await;
    drop(ada);
    scene.end().await;
}

fn urlencoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
