//! The tour's second half: what happened, found through the audit API, and the proof that nobody changed it.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::super::super::api::At;
use super::super::super::failure::Failure;
use super::super::super::{audit, output};
use super::Tour;

/// How often, and how long, an event is looked for: a queued one is visible within a second.
const PAUSE: Duration = Duration::from_millis(100);
const TRIES: usize = 100;

/// What is looked for: what it is, and the query that finds it.
const EVENTS: [(&str, &str); 6] = [
    ("the issuance", "kind=token.issued&principal=demo&limit=1"),
    ("the allowed call", "kind=decision&outcome=allowed&principal=demo&limit=1"),
    ("the refusal", "kind=decision&outcome=denied&principal=reader&limit=1"),
    ("the slowing", "kind=rate.limited&principal=reader&limit=1"),
    ("the introspection", "kind=token.introspected&outcome=allowed&principal=demo&limit=1"),
    ("the revocation", "kind=token.revoked&principal=demo&limit=1"),
];

impl Tour<'_> {
    pub(super) async fn finds_it_all(&mut self) -> Result<(), Failure> {
        self.step("An auditor finds each of it in the audit log")?;
        let auditor = self.prints_a_token("AUDITOR", "AUDITOR").await?;
        for (what, query) in EVENTS {
            self.command(&format!(
                "curl -sS -H \"Authorization: Bearer $AUDITOR\" \"$ISSUER/api/v1/audit/events?{query}\""
            ))?;
            let url = format!("{}/api/v1/audit/events?{query}", self.place.issuer());
            let mut found = None;
            for _ in 0..TRIES {
                let answer = self.wire.send(self.wire.get(&url, auditor.expose())).await?;
                self.expect(&answer, StatusCode::OK)?;
                if let Some(event) = answer.json().pointer("/items/0") {
                    found = Some(event.clone());
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
            let event = found.ok_or_else(|| Failure::failed(format!("{what} is not in the audit log")))?;
            output::line(format!("   200 {what}: {}", brief(&event)))?;
        }
        Ok(())
    }

    pub(super) async fn verifies(&mut self) -> Result<(), Failure> {
        self.step("Every event is a leaf of a signed Merkle tree, and the whole of it verifies")?;
        let config = self.place.config();
        let at = At { config: Some(config.clone()), ..At::default() };
        self.command(&format!("stockade audit checkpoint --config {}", config.display()))?;
        audit::run(&audit::Command::checkpoint(), &at).await?;
        self.command(&format!("stockade audit verify --config {}", config.display()))?;
        audit::run(&audit::Command::verify_store(), &at).await?;
        output::line("\nThat was the main job. README.md and docs/ say how to make it yours.")
    }
}

/// The fields that say most, in the order of a sentence.
fn brief(event: &Value) -> String {
    let fields = ["seq", "time", "kind", "outcome", "principal", "action", "resource", "reason", "policies", "count"];
    let said = fields.iter().filter_map(|name| {
        let text = match event.get(name)? {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Some(format!("{name}={text}"))
    });
    said.collect::<Vec<_>>().join(" ")
}
