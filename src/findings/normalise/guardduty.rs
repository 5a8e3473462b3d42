//! GuardDuty's own format, as the API, EventBridge and the export to S3 write it: the names in `lowerCamel`; and as AWS's
//! clients print it, in `UpperCamel`.

use serde_json::Value;

use super::read::{Entities, Node, is_placeholder, of_arn};
use super::{is_sample_title, unreadable};
use crate::model::EntityKind::{AccessKey, Address, Domain, Image, Principal, Resource, Role, Session, User};
use crate::model::{Finding, FindingState, Format, Severity};

pub(super) fn read(finding: Node<'_>) -> Finding {
    let at = |path: &str| finding.at(path);
    let arn = at("arn").id().or_else(|| at("id").id());
    let Some(arn) = arn else { return unreadable(Format::GuardDuty, "it has neither `arn` nor `id`") };
    let (region, account) = of_arn(&arn);
    let title = at("title").text();
    let severity = at("severity").number();
    let archived = at("service.archived").flag().unwrap_or(false);
    Finding {
        account: at("accountId").text().or(account),
        region: at("region").text().filter(|text| !is_placeholder(text)).or(region),
        severity: severity.map_or(Severity::Info, band),
        severity_raw: at("severity").text(),
        state: if archived { FindingState::Archived } else { FindingState::Open },
        kind: at("type").text(),
        product: Some("aws/guardduty".to_owned()),
        detector: at("service.detectorId").text(),
        sample: is_sample(at("service.additionalInfo")) || is_sample_title(title.as_ref()),
        title,
        description: at("description").description(),
        count: at("service.count").integer(),
        first_seen: at("service.eventFirstSeen").time(),
        last_seen: at("service.eventLastSeen").time(),
        created_at: at("createdAt").time(),
        updated_at: at("updatedAt").time(),
        entities: entities(finding),
        problem: severity.is_none().then(|| "it has no `severity`".to_owned()),
        ..Finding::new(Format::GuardDuty, arn)
    }
}

/// Severities end at 10; what lies beyond has the nearest band.
fn band(severity: f64) -> Severity {
    match severity {
        s if s >= 9.0 => Severity::Critical,
        s if s >= 7.0 => Severity::High,
        s if s >= 4.0 => Severity::Medium,
        s if s > 0.0 => Severity::Low,
        _ => Severity::Info,
    }
}

/// `{"sample": true}`, or as the API has it `{"value": "{\"sample\":true}"}`.
fn is_sample(info: Node<'_>) -> bool {
    let inner = || info.at("value").inner().and_then(|text| serde_json::from_str::<Value>(text).ok());
    info.at("sample").flag() == Some(true)
        || inner().is_some_and(|value| Node::new(&value).at("sample").flag() == Some(true))
}

fn entities(finding: Node<'_>) -> Vec<crate::model::Entity> {
    let mut found = Entities::default();
    resource(finding.at("resource"), &mut found);
    for (_, action) in finding.at("service.action").members() {
        act(action, &mut found);
    }
    sequence(finding.at("service.detection.sequence"), &mut found);
    found.done()
}

fn resource(resource: Node<'_>, found: &mut Entities) {
    let key = resource.at("accessKeyDetails");
    found.add_principal(key.at("principalId"));
    let is_role = key.at("userType").text().is_some_and(|kind| kind.contains("Role"));
    found.add(if is_role { Role } else { User }, key.at("userName"));
    found.add(AccessKey, key.at("accessKeyId"));

    let instance = resource.at("instanceDetails");
    found.add(Resource, instance.at("instanceId"));
    found.add(Image, instance.at("imageId"));
    found.add(Resource, instance.at("iamInstanceProfile.arn"));
    for interface in instance.at("networkInterfaces").items() {
        found.add(Address, interface.at("publicIp"));
        found.add(Address, interface.at("privateIpAddress"));
        interface.at("ipv6Addresses").items().for_each(|address| found.add(Address, address));
    }
    for path in [
        "s3BucketDetails",
        "eksClusterDetails",
        "ecsClusterDetails",
        "ecsClusterDetails.taskDetails",
        "ec2ImageDetails",
    ] {
        resource.at(path).items().for_each(|one| found.add(Resource, one.at("arn")));
    }
    for path in [
        "lambdaDetails.functionArn",
        "rdsDbInstanceDetails.dbInstanceArn",
        "rdsLimitlessDbDetails.dbShardGroupArn",
        "ebsSnapshotDetails.snapshotArn",
        "recoveryPointDetails.recoveryPointArn",
    ] {
        found.add(Resource, resource.at(path));
    }
    found.add(User, resource.at("rdsDbUserDetails.user"));
    found.add(User, resource.at("kubernetesDetails.kubernetesUserDetails.username"));
    found.add(Image, resource.at("containerDetails.image"));
    for path in ["kubernetesDetails.kubernetesWorkloadDetails.containers", "ecsClusterDetails.taskDetails.containers"] {
        resource.at(path).items().for_each(|container| found.add(Image, container.at("image")));
    }
}

/// One of the actions; each names addresses in the same words.
fn act(action: Node<'_>, found: &mut Entities) {
    let ends = |end: Node<'_>, found: &mut Entities| {
        for side in ["remoteIpDetails", "localIpDetails"] {
            found.add(Address, end.at(side).at("ipAddressV4"));
            found.add(Address, end.at(side).at("ipAddressV6"));
        }
    };
    ends(action, found);
    for path in ["portProbeDetails", "remoteIpDetails", "localIpDetails"] {
        action.at(path).items().for_each(|probe| ends(probe, found));
    }
    action.at("sourceIps").items().for_each(|address| found.add(Address, address));
    found.add(Domain, action.at("domain"));
    found.add(Domain, action.at("domainDetails.domain"));
    for (_, affected) in action.at("affectedResources").members() {
        found.add(Resource, affected);
    }
}

/// An attack sequence: who, from where, against what.
fn sequence(sequence: Node<'_>, found: &mut Entities) {
    for actor in sequence.at("actors").items() {
        found.add_principal(actor.at("user.uid"));
        found.add(User, actor.at("user.name"));
        found.add(AccessKey, actor.at("user.credentialUid"));
        found.add(Session, actor.at("session.uid"));
        found.add(Principal, actor.at("session.issuer"));
    }
    for resource in sequence.at("resources").items() {
        found.add(Resource, resource.at("uid"));
    }
    for endpoint in sequence.at("endpoints").items() {
        found.add(Address, endpoint.at("ip"));
        found.add(Domain, endpoint.at("domain"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_fall_into_bands_and_none_is_refused() {
        for (number, expected) in [
            (-1.0, Severity::Info),
            (0.0, Severity::Info),
            (0.1, Severity::Low),
            (3.9, Severity::Low),
            (4.0, Severity::Medium),
            (6.9, Severity::Medium),
            (7.0, Severity::High),
            (8.9, Severity::High),
            (9.0, Severity::Critical),
            (11.0, Severity::Critical),
        ] {
            assert_eq!(band(number), expected, "{number}");
        }
    }
}
