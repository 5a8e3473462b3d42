//! From files to a [`Snapshot`]: parse, check, validate. Everything wrong is reported at once.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use cedar_policy::{Effect, Entities, Policy, PolicyId, PolicySet, Schema, SchemaFragment, ValidationMode, Validator};
use miette::Diagnostic;

use super::problem::{Files, Problem};
use super::shape::Shapes;
use super::snapshot::{Parts, Snapshot};
use super::step_up::StepUp;
use super::{needed, routes, tiers, types};

/// Policies reach no further than the attributes and ancestors of principal and resource: what a decision is given.
const LEVEL: u32 = 1;
/// Largest tree of policies, in bytes of Cedar text.
const MOST_TEXT: usize = 64 << 20;

/// Where a policy stands.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) file: Arc<str>,
    pub(crate) offset: usize,
}

/// Every problem of a policy tree, errors and warnings, sorted by place. Empty: it loads, and nothing is odd.
pub fn check(dir: &Path) -> Vec<Problem> {
    match Files::read(dir) {
        Ok(files) => match load(&files) {
            Ok(snapshot) => snapshot.warnings().to_vec(),
            Err(problems) => problems,
        },
        Err(problems) => problems,
    }
}

/// The snapshot, or every problem.
pub(crate) fn load(files: &Files) -> Result<Snapshot, Vec<Problem>> {
    let mut problems = Vec::new();
    if files.iter().map(|(_, text)| text.len()).sum::<usize>() > MOST_TEXT {
        return Err(vec![Problem::file("policies", "more than 64 MiB of text; split the deployment")]);
    }
    let mut shapes = Shapes::default();
    let schema = schema(files, &mut shapes, &mut problems);
    let (set, places) = policies(files, &mut problems);
    if let Some(schema) = &schema {
        validate(files, schema, &set, &places, &mut problems);
        problems.extend(needed::lacking(files, schema));
    }
    let entities = entities(files, schema.as_ref(), &mut problems);
    let text = |name: &str| files.get(name).map(|text| (name.to_owned(), text.to_owned()));
    let routes = text("routes.toml").map(|(f, t)| routes::RouteMap::parse(&f, &t, &mut problems)).unwrap_or_default();
    let tiers = text("tiers.toml").map(|(f, t)| tiers::parse(&f, &t, &mut problems)).unwrap_or_default();
    let wire =
        text("types.toml").map(|(f, t)| types::parse(&f, &t, schema.as_ref(), &mut problems)).unwrap_or_default();
    let snapshot = match (schema, entities) {
        (Some(schema), Some(entities)) if !problems.iter().any(Problem::is_error) => {
            let digest = digest(files);
            Snapshot::assemble(
                Parts { schema, set, entities, routes, tiers, wire, shapes, digest, places, files },
                &mut problems,
            )
        }
        _ => None,
    };
    problems.sort();
    problems.dedup();
    match snapshot {
        Some(snapshot) if !problems.iter().any(Problem::is_error) => Ok(snapshot.warned(problems)),
        _ => Err(problems),
    }
}

/// SHA-256 over every file that decides anything, by path: lower-case hex.
fn digest(files: &Files) -> Arc<str> {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for (path, text) in files.iter().filter(|(path, _)| decides(path)) {
        for part in [path.as_bytes(), text.as_bytes()] {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

fn decides(path: &str) -> bool {
    !path.starts_with("tests/") && !path.ends_with(".yaml")
}

fn schema(files: &Files, shapes: &mut Shapes, problems: &mut Vec<Problem>) -> Option<Schema> {
    let mut fragments = Vec::new();
    let mut json = Vec::new();
    let mut broken = false;
    for (path, text) in files.iter().filter(|(path, _)| decides(path) && path.ends_with(".cedarschema")) {
        match SchemaFragment::from_cedarschema_str(text) {
            Ok((fragment, warnings)) => {
                json.extend(fragment.clone().to_json_value());
                fragments.push(fragment);
                problems.extend(warnings.flat_map(|w| at_labels(path, text, &w)).map(Problem::warning));
            }
            Err(e) => {
                broken = true;
                problems.extend(at_labels(path, text, &e));
            }
        }
    }
    if broken {
        return None;
    }
    if fragments.is_empty() {
        problems.push(Problem::file("schema", "no `.cedarschema` file; add one, or start from `stockade init`"));
        return None;
    }
    match Schema::from_schema_fragments(fragments) {
        Ok(schema) => {
            *shapes = Shapes::of(&json);
            Some(schema)
        }
        Err(e) => {
            // The fragments parsed, so the error names something rather than a place: find the name.
            let message = with_help(&e.to_string(), &e);
            let place = quoted(&message).find_map(|name| {
                files.iter().filter(|(path, _)| path.ends_with(".cedarschema")).find_map(|(path, text)| {
                    let short = name.rsplit("::").next().unwrap_or(name).trim_matches('"');
                    find_word(text, short).map(|offset| Problem::at(path, text, offset, message.as_str()))
                })
            });
            problems.push(place.unwrap_or_else(|| Problem::file("schema", message)));
            None
        }
    }
}

fn quoted(message: &str) -> impl Iterator<Item = &str> {
    message.split('`').skip(1).step_by(2)
}

fn find_word(text: &str, word: &str) -> Option<usize> {
    let outside = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).map(|(at, _)| at).find(|at| {
        outside(text.get(..*at).and_then(|before| before.chars().next_back()))
            && outside(text.get(at + word.len()..).and_then(|after| after.chars().next()))
    })
}

/// One problem for each place that a Cedar error names; the first line when it names none.
fn at_labels(file: &str, text: &str, error: &dyn Diagnostic) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut errors: Vec<&dyn Diagnostic> = vec![error];
    errors.extend(error.related().into_iter().flatten());
    for error in errors {
        let message = with_help(&error.to_string(), error);
        let label = error.labels().and_then(|mut labels| labels.next());
        let offset = label.map_or(0, |label| label.offset());
        found.push(Problem::at(file, text, offset, message));
    }
    found
}

fn with_help(message: &str, error: &dyn Diagnostic) -> String {
    let message = message.lines().collect::<Vec<_>>().join(" ");
    match error.help() {
        Some(help) => format!("{message}; {}", help.to_string().lines().collect::<Vec<_>>().join(" ")),
        None => message,
    }
}

fn policies(files: &Files, problems: &mut Vec<Problem>) -> (PolicySet, BTreeMap<String, Place>) {
    let mut set = PolicySet::new();
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    for (path, text) in files.iter().filter(|(path, _)| decides(path) && path.ends_with(".cedar")) {
        let parsed: PolicySet = match text.parse() {
            Ok(parsed) => parsed,
            Err(e) => {
                let e: cedar_policy::ParseErrors = e;
                for e in e.iter() {
                    problems.extend(at_labels(path, text, e));
                }
                continue;
            }
        };
        let file: Arc<str> = path.into();
        let mut from = 0;
        for template in parsed.templates() {
            let offset = text.find(&template.to_cedar()).unwrap_or(0);
            let mut slots: Vec<_> = template.slots().map(|slot| format!("`{slot}`")).collect();
            slots.sort();
            let message = format!(
                "{} {} this a Cedar template, and templates are not supported: give the principals a role and name that, \
                 or write a policy for each",
                slots.join(" and "),
                if slots.len() == 1 { "makes" } else { "make" }
            );
            problems.push(Problem::at(path, text, offset, message));
        }
        // Cedar numbers what it reads; the numbers give the order, and with it the place.
        for number in 0..parsed.num_of_policies() + parsed.num_of_templates() {
            let Some(policy) = parsed.policy(&PolicyId::new(format!("policy{number}"))) else { continue };
            let written = policy.to_cedar().unwrap_or_default();
            let offset = text.get(from..).and_then(|rest| rest.find(&written)).map_or(from, |at| from + at);
            from = offset + written.len();
            let mut wrong = |message: String| problems.push(Problem::at(path, text, offset, message));
            let Some(id) = policy.annotation("id").filter(|id| !id.is_empty()) else {
                wrong(
                    "a policy without `@id(\"area.subject.verb\")`; give it one, decisions are recorded under it"
                        .to_owned(),
                );
                continue;
            };
            if let Some(first) = places.get(id) {
                wrong(format!("`@id(\"{id}\")` is taken by a policy in {}; choose another", first.file));
                continue;
            }
            lint(path, id, policy, &mut wrong);
            places.insert(id.to_owned(), Place { file: Arc::clone(&file), offset });
            if let Err(e) = set.add(policy.new_id(PolicyId::new(id))) {
                wrong(e.to_string());
            }
        }
    }
    (set, places)
}

fn lint(path: &str, id: &str, policy: &Policy, wrong: &mut dyn FnMut(String)) {
    if path.starts_with("guard/") && policy.effect() == Effect::Permit {
        wrong(format!("`{id}` permits, and guard/ holds only `forbid`; move it to grant/"));
    }
    if path.starts_with("grant/") && policy.effect() == Effect::Forbid {
        wrong(format!("`{id}` forbids, and grant/ holds only `permit`; move it to guard/"));
    }
    if let Some(when) = policy.annotation("record").filter(|when| *when != "before") {
        wrong(format!("`{id}`: `@record(\"{when}\")` means nothing; write `@record(\"before\")` or leave it out"));
    }
    if let Err(what) = StepUp::of(policy) {
        wrong(format!("`{id}`: {what}"));
    }
    let open = policy.principal_constraint() == cedar_policy::PrincipalConstraint::Any
        && policy.action_constraint() == cedar_policy::ActionConstraint::Any
        && policy.resource_constraint() == cedar_policy::ResourceConstraint::Any;
    if open && policy.effect() == Effect::Permit && !policy.has_non_scope_constraint() {
        wrong(format!("`{id}` permits everything to everyone; name a principal, an action or a resource"));
    }
}

fn validate(
    files: &Files,
    schema: &Schema,
    set: &PolicySet,
    places: &BTreeMap<String, Place>,
    problems: &mut Vec<Problem>,
) {
    let result = Validator::new(schema.clone()).validate_with_level(set, ValidationMode::Strict, LEVEL);
    let at = |id: &PolicyId, error: &dyn Diagnostic| -> Problem {
        let message = with_help(&error.to_string(), error);
        let Some(place) = places.get(<_ as AsRef<str>>::as_ref(id)) else { return Problem::file("policies", message) };
        let text = files.get(&place.file).unwrap_or_default();
        let label = error.labels().and_then(|mut labels| labels.next());
        Problem::at(&*place.file, text, label.map_or(place.offset, |label| label.offset()), message)
    };
    once_a_place(result.validation_errors().map(|e| at(e.policy_id(), e)).collect(), problems);
    once_a_place(result.validation_warnings().map(|w| at(w.policy_id(), w).warning()).collect(), problems);
}

/// Cedar reports a mistake once for each kind of request that it could meet: the first says it all.
fn once_a_place(mut found: Vec<Problem>, problems: &mut Vec<Problem>) {
    found.sort();
    let same = |a: &Problem, b: &Problem| (&a.file, a.line, a.column) == (&b.file, b.line, b.column);
    for group in found.chunk_by(same) {
        let Some(first) = group.first() else { continue };
        let more = match group.len() {
            1 => String::new(),
            len => format!(" (and likewise for {} more kinds of request)", len - 1),
        };
        problems.push(Problem { message: format!("{}{more}", first.message), ..first.clone() });
    }
}

/// `entities.json` and `entities/*.json`: Cedar's JSON form, checked against the schema.
fn entities(files: &Files, schema: Option<&Schema>, problems: &mut Vec<Problem>) -> Option<Entities> {
    let schema = schema?;
    let mut rows: HashMap<String, serde_json::Value> = HashMap::new();
    let mut all = Vec::new();
    for (path, text) in files.iter() {
        if path != "entities.json" && !(path.starts_with("entities/") && path.ends_with(".json")) {
            continue;
        }
        match serde_json::from_str::<Vec<serde_json::Value>>(text) {
            Ok(list) => {
                for row in list {
                    let uid = row.get("uid").map(ToString::to_string).unwrap_or_default();
                    if rows.insert(uid.clone(), row.clone()).is_some() {
                        problems.push(Problem::file(path, format!("entity {uid} is declared twice; remove one")));
                    }
                    match Entities::from_json_value(serde_json::Value::Array(vec![row.clone()]), Some(schema)) {
                        Ok(_) => all.push(row),
                        Err(e) => {
                            let mut message = e.to_string();
                            let mut source = std::error::Error::source(&e);
                            while let Some(inner) = source {
                                message = format!("{message}: {inner}");
                                source = inner.source();
                            }
                            let name = row.pointer("/uid/id").and_then(serde_json::Value::as_str).unwrap_or_default();
                            let offset = text.find(&format!("\"{name}\"")).unwrap_or(0);
                            problems.push(Problem::at(path, text, offset, message));
                        }
                    }
                }
            }
            Err(e) => problems.push(Problem {
                line: e.line(),
                column: e.column(),
                ..Problem::file(path, format!("not a JSON array of entities: {e}"))
            }),
        }
    }
    match Entities::from_json_value(serde_json::Value::Array(all), Some(schema)) {
        Ok(entities) => Some(entities),
        Err(e) => {
            problems.push(Problem::file("entities.json", e.to_string()));
            None
        }
    }
}
