//! The AWS Security Finding Format, 2018-10-08. Names are in `UpperCamel` wherever it is met; what integrations add may not
//! be.

use super::read::{Entities, Node, of_arn};
use super::{is_sample_title, unreadable};
use crate::model::EntityKind::{AccessKey, Address, Domain, Image, Resource, Role, User};
use crate::model::{Entity, Finding, FindingState, Format, Severity};

pub(super) fn read(finding: Node<'_>) -> Finding {
    let at = |path: &str| finding.at(path);
    let id = at("Id").id();
    let Some(id) = id else { return unreadable(Format::Asff, "it has no `Id`") };
    let product_arn = at("ProductArn").id().unwrap_or_default();
    let product = product_arn.split_once(":product/").map(|(_, name)| name.to_owned());
    let fields = at("ProductFields");
    let field = |name: &str| fields.members().find(|(known, _)| *known == name).and_then(|(_, value)| value.text());
    let (region, _) = of_arn(&id);
    let title = at("Title").text();
    let control = at("Compliance.SecurityControlId").text().or_else(|| field("ControlId")).or_else(|| field("RuleId"));
    let severity = severity(at("Severity"));
    let workflow = at("Workflow.Status").text().or_else(|| at("WorkflowState").text());
    let (record_state, compliance) = (at("RecordState").text(), at("Compliance.Status").text());
    let resource = at("Resources").items().find_map(|resource| resource.at("Id").text());
    let of_guardduty = product.as_deref() == Some("aws/guardduty");
    let key = format!("{product_arn}|{id}");
    let correlation_key = match (&control, &resource) {
        // The id is the ARN of the finding of GuardDuty's own.
        _ if of_guardduty => id.clone(),
        (Some(control), Some(resource)) => format!("{control}|{resource}"),
        _ => key.clone(),
    };
    Finding {
        provider_id: id,
        correlation_key,
        account: at("AwsAccountId").text(),
        region: at("Region").text().or(region).or_else(|| of_arn(&product_arn).0),
        severity: severity.unwrap_or(Severity::Info),
        severity_raw: ["Label", "Normalized", "Original", "Product"]
            .iter()
            .find_map(|name| at("Severity").at(name).text()),
        state: state(record_state.as_deref(), workflow.as_deref(), compliance.as_deref()),
        record_state,
        workflow,
        compliance,
        kind: at("Types").items().find_map(Node::text),
        product,
        detector: field("aws/guardduty/service/detectorId").or_else(|| field("detectorId")),
        control_id: control,
        sample: at("Sample").flag() == Some(true) || is_sample_title(title.as_ref()),
        title,
        description: at("Description").description(),
        count: field("aws/guardduty/service/count").or_else(|| field("count")).and_then(|count| count.parse().ok()),
        first_seen: at("FirstObservedAt").time(),
        last_seen: at("LastObservedAt").time(),
        created_at: at("CreatedAt").time(),
        updated_at: at("UpdatedAt").time(),
        entities: entities(finding),
        problem: severity.is_none().then(|| "it has no `Severity` that can be read".to_owned()),
        ..Finding::new(Format::Asff, key)
    }
}

/// `Label`, else `Normalized`, else what the provider calls it, else its own number of ten.
fn severity(severity: Node<'_>) -> Option<Severity> {
    let label = |name| severity.at(name).text().and_then(|text| label(&text));
    let normalized = || {
        severity.at("Normalized").number().map(|number| match number {
            n if n >= 90.0 => Severity::Critical,
            n if n >= 70.0 => Severity::High,
            n if n >= 40.0 => Severity::Medium,
            n if n > 0.0 => Severity::Low,
            _ => Severity::Info,
        })
    };
    let product = || {
        let number = severity.at("Product").number().or_else(|| severity.at("Original").number())?;
        Some(match number {
            n if n >= 9.0 => Severity::Critical,
            n if n >= 7.0 => Severity::High,
            n if n >= 4.0 => Severity::Medium,
            n if n > 0.0 => Severity::Low,
            _ => Severity::Info,
        })
    };
    label("Label").or_else(normalized).or_else(|| label("Original")).or_else(product)
}

fn label(text: &str) -> Option<Severity> {
    match text.to_ascii_uppercase().as_str() {
        "INFORMATIONAL" => Some(Severity::Info),
        "LOW" => Some(Severity::Low),
        "MEDIUM" => Some(Severity::Medium),
        "HIGH" => Some(Severity::High),
        "CRITICAL" => Some(Severity::Critical),
        _ => None,
    }
}

/// The provider's word first, then the customer's, then whether the check passes now.
fn state(record: Option<&str>, workflow: Option<&str>, compliance: Option<&str>) -> FindingState {
    match (record, workflow, compliance) {
        (Some("ARCHIVED"), _, _) => FindingState::Archived,
        (_, Some("SUPPRESSED"), _) => FindingState::Suppressed,
        (_, Some("RESOLVED"), _) | (_, _, Some("PASSED")) => FindingState::Resolved,
        _ => FindingState::Open,
    }
}

fn entities(finding: Node<'_>) -> Vec<Entity> {
    let mut found = Entities::default();
    for resource in finding.at("Resources").items() {
        about(resource, &mut found);
    }
    for (_, action) in finding.at("Action").members() {
        for path in ["RemoteIpDetails", "LocalIpDetails"] {
            found.add(Address, action.at(path).at("IpAddressV4"));
        }
        for probe in action.at("PortProbeDetails").items() {
            found.add(Address, probe.at("RemoteIpDetails.IpAddressV4"));
            found.add(Address, probe.at("LocalIpDetails.IpAddressV4"));
        }
        found.add(Domain, action.at("Domain"));
        found.add(Domain, action.at("DomainDetails.Domain"));
    }
    let network = finding.at("Network");
    for name in ["SourceIpV4", "SourceIpV6", "DestinationIpV4", "DestinationIpV6"] {
        found.add(Address, network.at(name));
    }
    found.add(Domain, network.at("SourceDomain"));
    found.add(Domain, network.at("DestinationDomain"));
    // GuardDuty's details are flattened into names with slashes.
    for (name, value) in finding.at("ProductFields").members() {
        match name.rsplit('/').next().unwrap_or_default() {
            "ipAddressV4" | "ipAddressV6" => found.add(Address, value),
            "domain" if name.contains("action/") => found.add(Domain, value),
            _ => {}
        }
    }
    found.done()
}

fn about(resource: Node<'_>, found: &mut Entities) {
    let kind = resource.at("Type").text().unwrap_or_default();
    let details = resource.at("Details");
    if let Some(id) = resource.at("Id").text() {
        // `AWS::IAM::AccessKey:AKIA…`, and `…:null` where nobody knows.
        match id.strip_prefix("AWS::IAM::AccessKey:") {
            Some(key) => found.add_text(AccessKey, key),
            None => found.add_text(if kind == "AwsEcrContainerImage" { Image } else { Resource }, &id),
        }
    }
    let key = details.at("AwsIamAccessKey");
    found.add(AccessKey, key.at("AccessKeyId"));
    found.add_principal(key.at("PrincipalId"));
    let of_role = key.at("PrincipalType").text().is_some_and(|kind| kind.contains("Role"));
    found.add(if of_role { Role } else { User }, key.at("UserName"));
    found.add(if of_role { Role } else { User }, key.at("PrincipalName"));
    found.add_principal(details.at("AwsIamUser.UserId"));
    found.add(User, details.at("AwsIamUser.UserName"));
    found.add_principal(details.at("AwsIamRole.RoleId"));
    found.add(Role, details.at("AwsIamRole.RoleName"));
    let instance = details.at("AwsEc2Instance");
    found.add(Image, instance.at("ImageId"));
    for name in ["IpV4Addresses", "IpV6Addresses"] {
        instance.at(name).items().for_each(|address| found.add(Address, address));
    }
    for name in ["ImageName", "ImageId"] {
        found.add(Image, details.at("Container").at(name));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_customer_s_word_stands_above_the_check_and_below_the_provider_s() {
        for (record, workflow, compliance, expected) in [
            (None, None, None, FindingState::Open),
            (Some("ACTIVE"), Some("NEW"), Some("FAILED"), FindingState::Open),
            (Some("ACTIVE"), Some("NOTIFIED"), None, FindingState::Open),
            (Some("ACTIVE"), Some("SUPPRESSED"), Some("PASSED"), FindingState::Suppressed),
            (Some("ACTIVE"), Some("RESOLVED"), Some("FAILED"), FindingState::Resolved),
            (Some("ACTIVE"), Some("NEW"), Some("PASSED"), FindingState::Resolved),
            (Some("ARCHIVED"), Some("SUPPRESSED"), None, FindingState::Archived),
        ] {
            assert_eq!(state(record, workflow, compliance), expected, "{record:?} {workflow:?} {compliance:?}");
        }
    }

    #[test]
    fn a_severity_is_read_from_what_there_is() {
        for (given, expected) in [
            (json!({ "Label": "HIGH", "Normalized": 1 }), Some(Severity::High)),
            (json!({ "Normalized": 40 }), Some(Severity::Medium)),
            (json!({ "Normalized": 0, "Product": 9 }), Some(Severity::Info)),
            (json!({ "Label": "?", "Original": "CRITICAL" }), Some(Severity::Critical)),
            (json!({ "Product": 5 }), Some(Severity::Medium)),
            (json!({ "Original": 7.5 }), Some(Severity::High)),
            (json!({}), None),
        ] {
            assert_eq!(severity(Node::new(&given)), expected, "{given}");
        }
    }
}
