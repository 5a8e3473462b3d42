//! Takes a document apart into findings, each with its own bytes: bare findings, lists, answers of the AWS APIs, and the
//! envelopes of EventBridge, one after another in one file if need be.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::model::Format;

/// How deep envelopes may be nested.
const DEEPEST: usize = 6;

/// One finding as it stands in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// What it is written in.
    pub format: Format,
    /// Its bytes, from brace to brace.
    pub raw: &'a [u8],
}

/// Members of an object, each as it stands.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Every finding of `document`, in order. What is well-formed and holds no finding is an empty list.
///
/// # Errors
/// When it is not JSON: what, and where.
pub fn split(document: &[u8]) -> Result<Vec<Piece<'_>>, serde_json::Error> {
    let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    let mut found = Vec::new();
    for value in serde_json::Deserializer::from_slice(document).into_iter::<&RawValue>() {
        take(value?, None, 0, &mut found);
    }
    Ok(found)
}

/// Every finding of an answer of an AWS API whose list holds nothing else: also an odd one is one.
///
/// # Errors
/// When it is not JSON, or has no list: an answer that lost its end must not look like one that there is nothing.
pub(super) fn answer(document: &[u8], format: Format) -> Result<Vec<Piece<'_>>, serde_json::Error> {
    use serde::de::Error as _;
    let mut found = Vec::new();
    if !document.is_empty() {
        let members: Members<'_> = serde_json::from_slice(document)?;
        let list = ["findings", "Findings"].iter().find_map(|name| members.get(*name).copied());
        let list = list.filter(|list| list.get().starts_with('['));
        let list = list.ok_or_else(|| serde_json::Error::custom("it has no list of findings"))?;
        take(list, Some(format), 0, &mut found);
    }
    Ok(found)
}

/// `within`: what stands here has to be a finding of this format, because its envelope says so.
fn take<'a>(value: &'a RawValue, within: Option<Format>, depth: usize, found: &mut Vec<Piece<'a>>) {
    if depth > DEEPEST {
        return;
    }
    if let Some(items) = read::<Vec<&RawValue>>(value) {
        for item in items {
            take(item, within, depth + 1, found);
        }
        return;
    }
    let members = read::<Members<'_>>(value);
    let format = members.as_ref().and_then(format).or(within);
    if let Some(format) = format {
        found.push(Piece { format, raw: value.get().as_bytes() });
        return;
    }
    let Some(members) = members else { return };
    let get = |name: &str| members.get(name).copied();
    // EventBridge says what it carries; `detail` is one finding, or has a list of them.
    if let (Some(kind), Some(detail)) = (get("detail-type").and_then(read::<String>), get("detail")) {
        let within = match kind.as_str() {
            "GuardDuty Finding" => Some(Format::GuardDuty),
            "Findings Imported V2" => Some(Format::Ocsf),
            _ if kind.starts_with("Security Hub Findings") => Some(Format::Asff),
            _ => None,
        };
        if within == Some(Format::GuardDuty) {
            return take(detail, within, depth + 1, found);
        }
        let findings = read::<Members<'_>>(detail).and_then(|detail| detail.get("findings").copied());
        if let Some(findings) = findings {
            take(findings, within, depth + 1, found);
        }
        return;
    }
    for name in ["findings", "Findings", "Finding"] {
        if let Some(inner) = get(name) {
            return take(inner, None, depth + 1, found);
        }
    }
}

/// What an object is by its members; `None`: no finding.
fn format(members: &Members<'_>) -> Option<Format> {
    let has = |name: &str| members.contains_key(name);
    if has("class_uid") || has("finding_info") {
        return Some(Format::Ocsf);
    }
    if has("ProductArn") && (has("Id") || has("AwsAccountId")) {
        return Some(Format::Asff);
    }
    let own = has("arn") && has("type") && (has("accountId") || has("service"));
    let of_the_api = has("Arn") && has("Type") && (has("AccountId") || has("Service"));
    (own || of_the_api).then_some(Format::GuardDuty)
}

fn read<'a, T: serde::Deserialize<'a>>(value: &'a RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(document: &str) -> Vec<(Format, String)> {
        let text = |piece: &Piece<'_>| String::from_utf8(piece.raw.to_vec()).unwrap();
        split(document.as_bytes()).unwrap().iter().map(|piece| (piece.format, text(piece))).collect()
    }

    const NATIVE: &str = r#"{ "arn":"a",  "type":"t","accountId":"1"}"#;
    const HUB: &str = "{\n \"ProductArn\": \"p\", \"Id\": \"i\\u0041\" }";

    #[test]
    fn a_finding_keeps_its_bytes_in_every_envelope() {
        for document in [
            NATIVE.to_owned(),
            format!("\u{feff} {NATIVE}\n"),
            format!("[{NATIVE}]"),
            format!("{{\"Findings\": [{NATIVE} ]}}"),
            format!("{{\"detail-type\":\"GuardDuty Finding\",\"detail\": {NATIVE}}}"),
        ] {
            assert_eq!(pieces(&document), [(Format::GuardDuty, NATIVE.to_owned())], "{document}");
        }
        let event = format!(r#"{{"detail-type":"Security Hub Findings - Imported","detail":{{"findings":[{HUB}]}}}}"#);
        for document in [HUB.to_owned(), event, format!("{{\"Finding\":{HUB}}}")] {
            assert_eq!(pieces(&document), [(Format::Asff, HUB.to_owned())], "{document}");
        }
    }

    #[test]
    fn documents_may_follow_each_other() {
        assert_eq!(pieces(&format!("{NATIVE}\n{HUB}\n{NATIVE}")).len(), 3);
    }

    #[test]
    fn what_is_no_finding_is_none() {
        for document in
            ["", "{}", "[]", "1", "\"x\"", r#"{"arn":"a"}"#, r#"{"FindingIds":["a"]}"#, "[[[[[[[[[]]]]]]]]]"]
        {
            assert_eq!(pieces(document), [], "{document}");
        }
        for document in ["{", "[1,]", "nonsense", "{\"a\":1}}"] {
            assert!(split(document.as_bytes()).is_err(), "{document}");
        }
    }

    #[test]
    fn an_odd_finding_within_an_envelope_that_says_what_it_is_is_not_lost() {
        let odd = r#"{"detail-type":"Security Hub Findings - Imported","detail":{"findings":[{"Id":1},7]}}"#;
        assert_eq!(pieces(odd), [(Format::Asff, r#"{"Id":1}"#.to_owned()), (Format::Asff, "7".to_owned())]);
    }
}
