//! Whether a service can run on this configuration and store, and whether the one that runs is it.

use std::time::Duration;

use serde_json::Value;

use super::{Check, Finding, some_of};
use crate::audit_log::verify::{Report, VerifyError};
use crate::base::Timestamp;
use crate::config::Config;
use crate::crypto::rotation::{self, Settings, Step};
use crate::model::{Client, KeyState, SigningKey};
use crate::registry::{Site, rules};
use crate::store::MigrationStatus;

/// A clock that is off by more breaks proofs and assertions, which live a minute.
const SKEW: Duration = Duration::from_secs(5);
const LARGEST_SKEW: Duration = Duration::from_secs(30);
/// Steps of rotation are looked for every minute.
const LATE: Duration = Duration::from_secs(600);

const STORE: Check = Check("store", "it answers, and has this version's schema");

/// The database.
pub fn store(status: Result<&[MigrationStatus], String>) -> Finding {
    let status = match status {
        Ok(status) => status,
        Err(why) => return STORE.failed(why, "see `database.url`, and that the database runs"),
    };
    let missing: Vec<_> = status.iter().filter(|one| !one.applied).map(|one| one.name.to_owned()).collect();
    STORE.none_of(&missing, format!("{} migrations", status.len()), "run `stockade migrate`")
}

/// The policies: how many, or what is wrong with them.
pub fn policies(loaded: Result<usize, Vec<String>>) -> Finding {
    let check = Check("policies", "they load");
    match loaded {
        Ok(count) => check.ok(format!("{count} policies")),
        Err(problems) => check.failed(some_of(&problems), "`stockade policy check DIR` shows them all"),
    }
}

/// The signing keys. `opened`: whether the configured seal keys open them.
pub fn keys(keys: &[SigningKey], settings: &Settings, opened: Result<(), String>, now: Timestamp) -> Finding {
    let check = Check("keys", "each algorithm has a key that signs, and no step of rotation is overdue");
    if let Err(why) = opened {
        return check.failed(why, "put the key that sealed them back into `crypto.seal_keys`, behind the new one");
    }
    if keys.is_empty() {
        return check.ok("none yet: the first start makes them");
    }
    let of = |alg| keys.iter().filter(move |key| key.alg == alg);
    let signs = |alg| of(alg).any(|key| key.state(now) == KeyState::Active);
    let silent = settings.algs.iter().copied().filter(|alg| of(*alg).next().is_some() && !signs(*alg));
    let silent: Vec<_> = silent.map(|alg| alg.as_str().to_owned()).collect();
    if !silent.is_empty() {
        return check
            .failed(format!("nothing signs {}", some_of(&silent)), "start the service, or `stockade key rotate`");
    }
    let overdue: Vec<_> = rotation::plan(keys, settings, now.minus(LATE))
        .into_iter()
        .map(|step| match step {
            Step::Generate { alg, .. } => format!("a new key of {}", alg.as_str()),
            Step::Retire { kid, .. } => format!("the end of `{kid}`"),
            Step::Delete { kid } => format!("the removal of `{kid}`"),
        })
        .collect();
    if !overdue.is_empty() {
        return check.warning(format!("overdue: {}", some_of(&overdue)), "a running service takes these steps");
    }
    check.ok(format!("{} keys", keys.len()))
}

/// The clients, against the rules as this configuration makes them.
pub fn clients(clients: &[Client], site: &Site) -> Finding {
    let check = Check("clients", "each could be registered today");
    let wrong: Vec<_> = clients
        .iter()
        .filter_map(|one| Some(format!("`{}`: {}", one.client_id, rules::mistakes(one, site).first()?)))
        .collect();
    check.none_of(&wrong, format!("{} clients", clients.len()), "change them, or the setting that they relied on")
}

/// The audit log.
pub fn audit_log(result: &Result<Report, VerifyError>) -> Finding {
    let check = Check("audit log", "every entry is a leaf of the tree under the signed head");
    match result {
        Ok(report) => {
            let signed = report.head.as_ref().map_or(0, |head| head.size);
            check.ok(format!("{} entries, the head signed over {signed}", report.entries))
        }
        Err(VerifyError::Store(error)) => {
            check.failed(crate::telemetry::chain(error).to_string(), "see that the database runs")
        }
        Err(error) => check
            .failed(error.to_string(), "keep this copy, and compare it with an older export: `stockade audit verify`"),
    }
}

/// The clock: against what was stored by it, and against the server's, when it was asked.
pub fn clock(keys: &[SigningKey], of_server: Option<Timestamp>, now: Timestamp) -> Finding {
    let check = Check("clock", "it is right within seconds");
    let todo = "synchronise the clock (NTP)";
    if let Some(key) = keys.iter().find(|key| key.created_at > now.plus(SKEW)) {
        return check.failed(format!("{now}, but a key was made at {}", key.created_at), todo);
    }
    let Some(server) = of_server else { return check.ok(now.to_string()) };
    let off = server.since(now).max(now.since(server));
    let found = format!("{} s off the server's", off.as_secs());
    match off {
        off if off > LARGEST_SKEW => check.failed(found, todo),
        off if off > SKEW => check.warning(found, todo),
        _ => check.ok(found),
    }
}

/// Free and whole bytes of the volume with the database; `None` when it is elsewhere or nobody could say.
pub fn disk(space: Option<(u64, u64)>) -> Finding {
    let check = Check("disk", "there is room for what is recorded");
    let Some((free, whole)) = space else { return check.ok("not measured: the database is elsewhere") };
    let found = format!("{} MiB of {} MiB free", free >> 20, whole >> 20);
    let todo = "make room: what cannot be recorded is refused";
    match free {
        free if free < 256 << 20 => check.failed(found, todo),
        free if free < 1 << 30 || free < whole / 20 => check.warning(found, todo),
        _ => check.ok(found),
    }
}

/// The listeners, their certificate and the proxy. `certificate`: whether the files of `[http.tls]` load.
pub fn listeners(config: &Config, certificate: Option<Result<(), String>>) -> Finding {
    let check = Check("listeners", "they and the issuer fit together");
    let server = &config.server;
    if let Some(Err(why)) = &certificate {
        return check.failed(why.clone(), "see [http.tls]");
    }
    let by = match (&certificate, server.behind_tls_proxy) {
        (Some(_), _) => "by TLS",
        (None, true) => "behind a proxy with TLS",
        (None, false) => "in clear, on loopback",
    };
    let found = format!("{} {by}, ops {}", server.listen, server.ops_listen);
    let https = server.issuer.starts_with("https://");
    match (https, certificate.is_some() || server.behind_tls_proxy) {
        (true, false) => {
            let todo = "set [http.tls], or `server.behind_tls_proxy` when a proxy terminates it";
            check.warning(format!("{found}, but the issuer is https"), todo)
        }
        (false, true) => {
            check.failed(format!("{found}, but the issuer is http"), "set `server.issuer` to its https URL")
        }
        _ if server.behind_tls_proxy && server.trusted_proxies.is_empty() => {
            let todo = "name it in `server.trusted_proxies`: until then all clients share its address and its limits";
            check.warning(format!("{found}, whose address is not known"), todo)
        }
        _ => check.ok(found),
    }
}

/// The metadata that the issuer's URL answers, against what this configuration publishes.
pub fn metadata(published: &Value, answered: Result<Value, String>) -> Finding {
    let check = Check("issuer", "its URL leads to this service, with this configuration");
    let answered = match answered {
        Ok(answered) => answered,
        Err(why) => return check.warning(why, "start the service; then see DNS, proxy and `server.issuer`"),
    };
    let none = serde_json::Map::new();
    let (ours, theirs) = (published.as_object().unwrap_or(&none), answered.as_object().unwrap_or(&none));
    let mut differing: Vec<_> = ours.keys().filter(|name| ours.get(*name) != theirs.get(*name)).cloned().collect();
    differing.extend(theirs.keys().filter(|name| !ours.contains_key(*name)).cloned());
    let todo = "restart the service with this configuration, or see which service answers there";
    let differing: Vec<_> = differing.into_iter().map(|name| format!("`{name}` differs")).collect();
    check.none_of(&differing, "it answers what is configured", todo)
}
