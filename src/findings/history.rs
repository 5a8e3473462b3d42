//! What Security Hub says of who changed a finding there (`GetFindingHistory`), as notes of it.

use serde_json::Value;

use super::normalise::hex;
use crate::base::Timestamp;
use crate::crypto::sha256;
use crate::model::Note;

/// Notes that are kept of one answer.
const MOST: usize = 100;
/// Longest text of one, in characters.
const LONGEST: usize = 500;
/// What says how a finding stands; the rest changes with every scan.
const FIELDS: [&str; 7] = [
    "Workflow.Status",
    "RecordState",
    "Note.Text",
    "Severity.Label",
    "VerificationState",
    "UserDefinedFields",
    "Compliance.Status",
];

/// The changes that an answer tells of, each with an id of its own, so that it is kept once however often it comes.
pub(super) fn read(answer: &[u8], finding_id: &str) -> Vec<Note> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let records = answer.get("Records").and_then(Value::as_array).into_iter().flatten();
    records.filter_map(|record| note(record, finding_id)).take(MOST).collect()
}

fn note(record: &Value, finding_id: &str) -> Option<Note> {
    let at = record.get("UpdateTime").and_then(Value::as_str).and_then(Timestamp::parse)?;
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(clean);
    let updates = record.get("Updates").and_then(Value::as_array)?;
    let told: Vec<_> = updates
        .iter()
        .filter_map(|update| Some((text(update, "UpdatedField")?, update)))
        .filter(|(field, _)| FIELDS.iter().any(|known| field.starts_with(known)))
        .map(|(field, update)| {
            let value = |name| text(update, name).unwrap_or_else(|| "-".to_owned());
            format!("{field}: {} -> {}", value("OldValue"), value("NewValue"))
        })
        .collect();
    if told.is_empty() {
        return None;
    }
    let told: String = told.join("; ").chars().take(LONGEST).collect();
    let author = record.get("UpdateSource").and_then(|source| text(source, "Identity"));
    let known = sha256(format!("{finding_id}\n{at}\n{author:?}\n{told}").as_bytes());
    Some(Note {
        note_id: format!("note_{}", hex(known.get(..13).unwrap_or_default())),
        at,
        author,
        act: "changed_upstream".to_owned(),
        text: Some(told),
    })
}

/// What a peer says is bounded and moves no cursor.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_changed_how_a_finding_stands_is_told_once_and_nothing_else() {
        let change = |field: &str| json!({ "UpdatedField": field, "OldValue": "NEW", "NewValue": "SUPP\u{1b}RESSED" });
        let record = |time: &str, fields: &[&str]| {
            json!({
                "UpdateTime": time, "UpdateSource": { "Type": "BATCH_UPDATE_FINDINGS", "Identity": "arn:x:role/ada" },
                "Updates": fields.iter().map(|field| change(field)).collect::<Vec<_>>(),
            })
        };
        let answer = json!({ "Records": [
            record("2026-11-01T02:00:00.685000+00:00", &["Workflow.Status", "ProcessedAt"]),
            record("2026-11-01T01:00:00Z", &["LastObservedAt"]),
            record("never", &["Workflow.Status"]),
            7,
        ] });
        let notes = read(answer.to_string().as_bytes(), "fnd_1");
        assert_eq!(notes.len(), 1);
        assert_eq!(notes[0].author.as_deref(), Some("arn:x:role/ada"));
        assert_eq!(notes[0].text.as_deref(), Some("Workflow.Status: NEW -> SUPPRESSED"));
        assert_eq!(read(answer.to_string().as_bytes(), "fnd_1"), notes);
        assert_ne!(read(answer.to_string().as_bytes(), "fnd_2")[0].note_id, notes[0].note_id);
        assert!(read(b"", "fnd_1").is_empty() && read(b"[]", "fnd_1").is_empty());
    }
}
