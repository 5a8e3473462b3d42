//! What was asked: checked for form alone. Names that nobody defined are ignored, wherever they stand.

use http::StatusCode;
use serde_json::Value;

use super::json::Object;

/// Questions in one batch.
const MOST_ITEMS: usize = 100;
/// Longest `type`, `id` or `name` in bytes.
const LONGEST: usize = 1024;

/// A request that is answered with an error rather than a decision.
#[derive(Clone, Debug)]
pub(super) struct Malformed {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Malformed {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    pub(super) fn too_large(message: String) -> Self {
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, message }
    }
}

/// A subject or a resource.
#[derive(Clone, Copy)]
pub(super) struct Thing<'a> {
    pub(super) kind: &'a str,
    pub(super) id: &'a str,
    pub(super) properties: Option<&'a Object>,
}

/// One question.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) subject: Thing<'a>,
    pub(super) action: &'a str,
    pub(super) action_properties: Option<&'a Object>,
    pub(super) resource: Thing<'a>,
    pub(super) context: Option<&'a Object>,
}

/// What a batch stops at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Semantic {
    /// Nothing.
    ExecuteAll,
    /// The first `false`.
    DenyOnFirstDeny,
    /// The first `true`.
    PermitOnFirstPermit,
}

/// Many questions, in order; a broken one carries what is wrong with it.
pub(super) struct Many<'a> {
    pub(super) semantic: Semantic,
    pub(super) questions: Vec<Result<Question<'a>, Malformed>>,
}

/// What `evaluations` was asked.
pub(super) enum Asked<'a> {
    /// No or empty `evaluations`: as the single endpoint.
    One(Question<'a>),
    Many(Many<'a>),
}

/// The four parts, from wherever they come.
#[derive(Clone, Copy, Default)]
struct Parts<'a> {
    subject: Option<&'a Value>,
    action: Option<&'a Value>,
    resource: Option<&'a Value>,
    context: Option<&'a Value>,
}

impl<'a> Parts<'a> {
    fn of(object: &'a Object) -> Self {
        let part = |name: &str| object.get(name);
        Self { subject: part("subject"), action: part("action"), resource: part("resource"), context: part("context") }
    }

    /// Whole objects replace whole objects: nothing is merged.
    fn or(self, defaults: Self) -> Self {
        Self {
            subject: self.subject.or(defaults.subject),
            action: self.action.or(defaults.action),
            resource: self.resource.or(defaults.resource),
            context: self.context.or(defaults.context),
        }
    }

    fn question(self) -> Result<Question<'a>, Malformed> {
        let (action, action_properties) = action(self.action)?;
        let context = match self.context {
            None => None,
            Some(context) => Some(object(context, "context")?),
        };
        let subject = thing(self.subject, "subject")?;
        let resource = thing(self.resource, "resource")?;
        Ok(Question { subject, action, action_properties, resource, context })
    }
}

/// One question.
pub(super) fn single(body: &Object) -> Result<Question<'_>, Malformed> {
    Parts::of(body).question()
}

/// A batch: defaults on top, `evaluations` below, `options.evaluations_semantic` beside them.
pub(super) fn batch(body: &Object) -> Result<Asked<'_>, Malformed> {
    let defaults = Parts::of(body);
    let semantic = semantic(body)?;
    let items = match body.get("evaluations") {
        None => return defaults.question().map(Asked::One),
        Some(Value::Array(items)) if items.is_empty() => return defaults.question().map(Asked::One),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(Malformed::new("`evaluations` must be an array")),
    };
    if items.len() > MOST_ITEMS {
        let message = format!("`evaluations` has {} items, more than {MOST_ITEMS}: send them in parts", items.len());
        return Err(Malformed::new(message));
    }
    // A default of the wrong type would break every item that leans on it: that is a broken batch.
    for (name, part) in [
        ("subject", defaults.subject),
        ("action", defaults.action),
        ("resource", defaults.resource),
        ("context", defaults.context),
    ] {
        if let Some(part) = part {
            object(part, name)?;
        }
    }
    let questions =
        items.iter().map(|item| Parts::of(object(item, "evaluations[]")?).or(defaults).question()).collect();
    Ok(Asked::Many(Many { semantic, questions }))
}

fn semantic(body: &Object) -> Result<Semantic, Malformed> {
    let options = match body.get("options") {
        None => return Ok(Semantic::ExecuteAll),
        Some(options) => object(options, "options")?,
    };
    match options.get("evaluations_semantic") {
        None => Ok(Semantic::ExecuteAll),
        Some(Value::String(name)) => match name.as_str() {
            "execute_all" => Ok(Semantic::ExecuteAll),
            "deny_on_first_deny" => Ok(Semantic::DenyOnFirstDeny),
            "permit_on_first_permit" => Ok(Semantic::PermitOnFirstPermit),
            _ => Err(Malformed::new(
                "`evaluations_semantic` must be `execute_all`, `deny_on_first_deny` or `permit_on_first_permit`",
            )),
        },
        Some(_) => Err(Malformed::new("`evaluations_semantic` must be a string")),
    }
}

fn object<'a>(value: &'a Value, name: &str) -> Result<&'a Object, Malformed> {
    value.as_object().ok_or_else(|| Malformed::new(format!("`{name}` must be an object")))
}

fn text<'a>(object: &'a Object, of: &str, name: &str) -> Result<&'a str, Malformed> {
    match object.get(name) {
        Some(Value::String(text)) if text.is_empty() => Err(Malformed::new(format!("`{of}.{name}` is empty"))),
        Some(Value::String(text)) if text.len() > LONGEST => {
            Err(Malformed::new(format!("`{of}.{name}` is longer than {LONGEST} bytes")))
        }
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Malformed::new(format!("`{of}.{name}` must be a string"))),
        None => Err(Malformed::new(format!("`{of}.{name}` is missing"))),
    }
}

fn properties<'a>(part: &'a Object, of: &str) -> Result<Option<&'a Object>, Malformed> {
    part.get("properties").map(|value| object(value, &format!("{of}.properties"))).transpose()
}

fn part<'a>(value: Option<&'a Value>, name: &str) -> Result<&'a Object, Malformed> {
    object(value.ok_or_else(|| Malformed::new(format!("`{name}` is missing")))?, name)
}

fn thing<'a>(value: Option<&'a Value>, name: &str) -> Result<Thing<'a>, Malformed> {
    let part = part(value, name)?;
    Ok(Thing { kind: text(part, name, "type")?, id: text(part, name, "id")?, properties: properties(part, name)? })
}

fn action(value: Option<&Value>) -> Result<(&str, Option<&Object>), Malformed> {
    let part = part(value, "action")?;
    Ok((text(part, "action", "name")?, properties(part, "action")?))
}
