//! Tests of `findings`.

mod api;
#[cfg(feature = "aws")]
mod aws;
mod bad_input;
mod corpus;
mod own;
mod record;
mod respond;
mod sync;
mod triage;

use stockade::base::{ManualClock, SystemRng, Timestamp};
use stockade::findings::{Tally, import};
use stockade::model::{Came, PrincipalRef};
use stockade::store::findings::Stored;
use stockade::store::{Store, events};

/// Imports a document as `Operator::"local"`.
pub(crate) async fn bring(store: &Store, document: &str) -> (Tally, Vec<(Came, Stored)>) {
    let clock = ManualClock::at(Timestamp::from_secs(1_800_000_000));
    import(store, document.as_bytes(), &PrincipalRef::new("Operator", "local"), &clock, &SystemRng).await.unwrap()
}

/// The events that wait in the intake, as JSON.
async fn recorded(store: &Store) -> Vec<serde_json::Value> {
    let waiting = events::waiting_after(&mut store.read().await.unwrap(), -1, 10_000).await.unwrap();
    waiting.iter().map(|waiting| serde_json::from_slice(waiting.entry.rest().body.unwrap()).unwrap()).collect()
}

/// A GuardDuty finding with this much in it.
pub(crate) fn native(id: &str, updated: &str, severity: f64) -> String {
    format!(
        r#"{{"schemaVersion":"2.0","accountId":"111122223333","region":"eu-west-1","id":"{id}",
            "arn":"arn:aws:guardduty:eu-west-1:111122223333:detector/d/finding/{id}","type":"Recon:EC2/Portscan",
            "resource":{{"resourceType":"Instance","instanceDetails":{{"instanceId":"i-1"}}}},
            "service":{{"archived":false,"count":1,"action":{{"actionType":"NETWORK_CONNECTION",
                "networkConnectionAction":{{"remoteIpDetails":{{"ipAddressV4":"198.51.100.7"}}}}}}}},
            "severity":{severity},"createdAt":"2026-11-01T00:00:00.000Z","updatedAt":"{updated}","title":"A scan"}}"#
    )
}
