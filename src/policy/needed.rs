//! What this version asks about: the actions of the shipped core schema. A tree that an older version wrote lacks the newer
//! ones; calls that need them are denied, and the tree says so when it is loaded.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use cedar_policy::{EntityUid, Schema};

use super::embedded::embedded;
use super::problem::{Files, Problem};

const CORE: &str = "schema/core.cedarschema";
const NAMESPACE: &str = "Stockade";

static NEEDED: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let text = embedded().iter().find(|(path, _)| *path == CORE).map_or("", |(_, text)| text);
    // It parses: a test loads it.
    Schema::from_cedarschema_str(text).map(|(schema, _)| ours(&schema)).unwrap_or_default()
});

/// The actions of our own namespace that can be asked about; groups cannot.
fn ours(schema: &Schema) -> BTreeSet<String> {
    let is_ours = |uid: &&EntityUid| uid.type_name().namespace() == NAMESPACE;
    let applies = |uid: &&EntityUid| schema.principals_for_action(uid).is_some_and(|mut types| types.next().is_some());
    schema.actions().filter(is_ours).filter(applies).map(|uid| uid.id().unescaped().to_owned()).collect()
}

/// A warning that names the actions this schema lacks. A schema with no action of ours is none of a service, and lacks nothing.
pub(crate) fn lacking(files: &Files, schema: &Schema) -> Option<Problem> {
    let own = ours(schema);
    let lacking: Vec<_> = NEEDED.difference(&own).map(|name| format!("`{name}`")).collect();
    if own.is_empty() || lacking.is_empty() {
        return None;
    }
    let declares = |text: &str| text.contains(&format!("namespace {NAMESPACE}"));
    let file = files.iter().find(|(path, text)| path.ends_with(".cedarschema") && declares(text));
    let message = format!(
        "the schema lacks {}, which this version asks about: calls that need it are denied (`unknown_action`); take over \
         what is new in {CORE} of `stockade init`",
        lacking.join(", ")
    );
    Some(Problem::file(file.map_or("schema", |(path, _)| path), message).warning())
}
