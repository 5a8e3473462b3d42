//! The Open Cybersecurity Schema Framework, findings of the category 2 (detection, compliance, vulnerability), 1.1 and later.

use super::read::{Entities, Node, is_placeholder};
use super::{is_sample_title, unreadable};
use crate::model::EntityKind::{AccessKey, Address, Domain, Image, Resource, Session, User};
use crate::model::{Entity, Finding, FindingState, Format, Severity};

pub(super) fn read(finding: Node<'_>) -> Finding {
    let at = |path: &str| finding.at(path);
    let first = |paths: &[&str]| paths.iter().filter_map(|path| at(path).text()).find(|text| !is_placeholder(text));
    let product = first(&["metadata.product.uid", "metadata.product.name", "finding_info.product_uid"]);
    // Security Hub's own id of it, which is unique; the finding's is so within its product.
    let own = at("metadata.uid").id();
    let uid = at("finding_info.uid").id().or_else(|| at("finding.uid").id());
    let title = first(&["finding_info.title", "finding.title", "message"]);
    let control = first(&["compliance.control", "metadata.event_code"]);
    let resource = at("resources").items().find_map(|resource| resource.at("uid").text());
    let resource = resource.filter(|text| !is_placeholder(text));
    let key = match (&own, &uid) {
        (Some(own), _) => own.clone(),
        (None, Some(uid)) => format!("{}|{uid}", product.as_deref().unwrap_or_default()),
        // An example without ids is told apart by its content alone.
        (None, None) => String::new(),
    };
    let provider_id = uid.or(own).unwrap_or_default();
    let correlation_key = match (&control, &resource) {
        _ if provider_id.starts_with("arn:") && provider_id.contains(":guardduty:") => provider_id.clone(),
        (Some(control), Some(resource)) => format!("{control}|{resource}"),
        _ => key.clone(),
    };
    let severity = severity(at("severity_id").integer(), at("severity").text().as_deref());
    if title.is_none() && severity.is_none() && key.is_empty() {
        return unreadable(Format::Ocsf, "it has neither an id, nor a title, nor a severity");
    }
    let time = |names: &[&str]| {
        let dated = |name: &&str| at(&format!("{name}_dt")).time().or_else(|| at(name).time());
        names.iter().find_map(dated)
    };
    let compliance = first(&["status_code", "compliance.status"]);
    Finding {
        provider_id,
        correlation_key,
        account: first(&["cloud.account.uid"]),
        region: first(&["cloud.region"])
            .or_else(|| at("resources").items().find_map(|resource| resource.at("region").text()))
            .filter(|text| !is_placeholder(text)),
        severity: severity.unwrap_or(Severity::Info),
        severity_raw: first(&["severity", "severity_id"]),
        state: state(at("activity_id").integer(), at("status_id").integer(), compliance.as_deref()),
        workflow: first(&["status"]),
        compliance,
        kind: at("finding_info.types").items().find_map(Node::text).or_else(|| first(&["type_name", "class_name"])),
        product,
        control_id: control,
        sample: is_sample_title(title.as_ref()),
        title,
        description: ["finding_info.desc", "message"].iter().find_map(|path| at(path).description()),
        count: at("count").integer(),
        first_seen: time(&["finding_info.first_seen_time"]),
        last_seen: time(&["finding_info.last_seen_time"]),
        created_at: time(&["finding_info.created_time", "time"]),
        updated_at: time(&["finding_info.modified_time", "time", "finding_info.created_time"]),
        entities: entities(finding),
        problem: severity.is_none().then(|| "it has no `severity_id` that can be read".to_owned()),
        ..Finding::new(Format::Ocsf, key)
    }
}

fn severity(id: Option<i64>, name: Option<&str>) -> Option<Severity> {
    match id {
        Some(0 | 1) => Some(Severity::Info),
        Some(2) => Some(Severity::Low),
        Some(3) => Some(Severity::Medium),
        Some(4) => Some(Severity::High),
        Some(5 | 6) => Some(Severity::Critical),
        _ => match name?.to_ascii_lowercase().as_str() {
            "informational" | "unknown" => Some(Severity::Info),
            "low" => Some(Severity::Low),
            "medium" => Some(Severity::Medium),
            "high" => Some(Severity::High),
            "critical" | "fatal" => Some(Severity::Critical),
            _ => None,
        },
    }
}

/// Activity 3 closes; then what the status says; then whether the check passes.
fn state(activity: Option<i64>, status: Option<i64>, compliance: Option<&str>) -> FindingState {
    let passes = compliance.is_some_and(|code| ["PASS", "PASSED"].contains(&code.to_ascii_uppercase().as_str()));
    match (activity, status) {
        (_, Some(3)) => FindingState::Suppressed,
        (_, Some(5)) => FindingState::Archived,
        (Some(3), _) | (_, Some(4)) => FindingState::Resolved,
        _ if passes => FindingState::Resolved,
        _ => FindingState::Open,
    }
}

fn entities(finding: Node<'_>) -> Vec<Entity> {
    let mut found = Entities::default();
    for resource in finding.at("resources").items() {
        found.add(Resource, resource.at("uid"));
    }
    for evidence in finding.at("evidences").items() {
        let user = evidence.at("actor.user");
        found.add_principal(user.at("uid"));
        found.add(User, user.at("name"));
        found.add(AccessKey, user.at("credential_uid"));
        found.add(Session, evidence.at("actor.session.uid"));
        for end in ["src_endpoint", "dst_endpoint"] {
            found.add(Address, evidence.at(end).at("ip"));
            found.add(Domain, evidence.at(end).at("domain"));
        }
        found.add(Domain, evidence.at("query.hostname"));
        found.add(Image, evidence.at("container.image.uid"));
    }
    for observed in finding.at("observables").items() {
        let kind = match observed.at("type_id").integer() {
            Some(1) => Domain,
            Some(2) => Address,
            Some(4) => User,
            Some(10) => Resource,
            _ => continue,
        };
        found.add(kind, observed.at("value"));
    }
    found.done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_closed_or_passes_is_resolved() {
        for (activity, status, compliance, expected) in [
            (Some(1), Some(1), Some("FAIL"), FindingState::Open),
            (Some(2), Some(2), None, FindingState::Open),
            (Some(1), Some(1), Some("PASS"), FindingState::Resolved),
            (Some(3), None, None, FindingState::Resolved),
            (Some(2), Some(4), None, FindingState::Resolved),
            (Some(2), Some(3), Some("PASS"), FindingState::Suppressed),
            (Some(3), Some(5), None, FindingState::Archived),
            (None, None, None, FindingState::Open),
        ] {
            assert_eq!(state(activity, status, compliance), expected, "{activity:?} {status:?} {compliance:?}");
        }
    }
}
