//! Answers, written straight as JSON.

use serde_json::json;

use crate::model::{Decision, DenyReason};

/// One decision. Of a denial, why: for programs under `stockade`, for people who run the service under `reason_admin`.
pub(super) fn write(out: &mut Vec<u8>, decision: &Decision) {
    let Some(reason) = decision.denied else {
        out.extend_from_slice(br#"{"decision":true}"#);
        return;
    };
    let policies: Vec<&str> = decision.policies.iter().map(|id| &**id).collect();
    let errors: Vec<&str> = decision.errors.iter().map(|id| &**id).collect();
    let mut ours = json!({ "reason": reason.as_str() });
    if let Some(ours) = ours.as_object_mut() {
        if !policies.is_empty() {
            ours.insert("policies".to_owned(), policies.into());
        }
        if !errors.is_empty() {
            ours.insert("errors".to_owned(), errors.into());
        }
    }
    let context = json!({ "reason_admin": { "en": sentence(reason) }, "stockade": ours });
    out.extend_from_slice(br#"{"decision":false,"context":"#);
    out.extend_from_slice(context.to_string().as_bytes());
    out.push(b'}');
}

/// An item of a batch that is not well-formed.
pub(super) fn write_broken(out: &mut Vec<u8>, message: &str) {
    let context = json!({ "reason_admin": { "en": message }, "stockade": { "reason": "malformed" } });
    out.extend_from_slice(br#"{"decision":false,"context":"#);
    out.extend_from_slice(context.to_string().as_bytes());
    out.push(b'}');
}

const fn sentence(reason: DenyReason) -> &'static str {
    match reason {
        DenyReason::Forbidden => "a policy forbids it",
        DenyReason::NoPermit => "no policy permits it",
        DenyReason::ForbidErred => "a policy that could forbid it cannot be evaluated",
        DenyReason::UnknownPrincipal => "the subject is not known; see `types.toml` and `entities.json`",
        DenyReason::UnknownResource => "the resource is not known; see `types.toml` and `entities.json`",
        DenyReason::UnknownAction => "the schema has no such action",
        DenyReason::InvalidRequest => "the properties or the context do not fit the schema",
        DenyReason::NoSnapshot => "no policies are loaded",
        DenyReason::NoRoute => "no route matches",
        DenyReason::NoTier => "no rate tier is permitted",
    }
}
