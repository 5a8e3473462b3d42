//! `routes.toml`: method and path template to action and resource.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::entity::Resource;
use super::problem::Problem;

/// A route that a request took.
#[derive(Clone, Debug)]
pub struct RouteMatch {
    /// The declared route.
    pub route: Arc<Route>,
    /// What its template's names stood for, in order.
    pub params: Vec<(Arc<str>, String)>,
}

/// A declared route.
#[derive(Debug)]
pub struct Route {
    /// `GET`, `POST`, …
    pub method: String,
    /// `/demo/notes/{id}`; a last segment `{*rest}` takes everything below.
    pub template: String,
    /// The Cedar action.
    pub action: Arc<str>,
    /// `Route::"METHOD template"`, in its API.
    pub resource: Resource,
    /// The resource's name in events.
    pub name: Arc<str>,
    /// The class that rate tiers are chosen for.
    pub class: Arc<str>,
    /// The API it belongs to: `Api::"…"`.
    pub api: Arc<str>,
    /// The scope that a refused caller is told to get (RFC 6750 3.1). Policies decide; this only helps.
    pub scope: Option<Arc<str>>,
    /// Where it is declared, for problems found later.
    pub(crate) offset: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    api: Vec<toml::Spanned<ApiRow>>,
    #[serde(default)]
    route: Vec<toml::Spanned<Row>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiRow {
    name: String,
    audience: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    method: String,
    path: String,
    action: String,
    api: String,
    class: Option<String>,
    scope: Option<String>,
}

/// One level of the tree of templates.
#[derive(Debug, Default)]
struct Level {
    fixed: HashMap<String, Level>,
    named: Option<Box<Level>>,
    /// A route that takes everything from here on.
    rest: HashMap<String, Arc<Route>>,
    here: HashMap<String, Arc<Route>>,
}

/// Every declared route. Fixed segments win over names, names over `{*rest}`.
#[derive(Debug, Default)]
pub(crate) struct RouteMap {
    root: Level,
    /// `aud` by name of the API.
    pub(crate) audiences: HashMap<String, String>,
    pub(crate) all: Vec<Arc<Route>>,
}

impl RouteMap {
    pub(crate) fn parse(file: &str, text: &str, problems: &mut Vec<Problem>) -> Self {
        let mut map = Self::default();
        let parsed: File = match toml::from_str(text) {
            Ok(parsed) => parsed,
            Err(e) => {
                let offset = e.span().map_or(0, |span| span.start);
                problems.push(Problem::at(file, text, offset, e.message().trim_end().to_owned()));
                return map;
            }
        };
        for row in parsed.api {
            let offset = row.span().start;
            let ApiRow { name, audience } = row.into_inner();
            let mut wrong = |message: String| problems.push(Problem::at(file, text, offset, message));
            if !(audience.starts_with('/') || audience.contains(':')) {
                wrong(format!("api `{name}`: `{audience}` is neither an absolute URI nor a path below the issuer"));
            }
            if map.audiences.insert(name.clone(), audience).is_some() {
                wrong(format!("api `{name}` is declared twice; remove one"));
            }
        }
        for row in parsed.route {
            let offset = row.span().start;
            if let Err(message) = map.insert(row.into_inner(), offset) {
                problems.push(Problem::at(file, text, offset, message));
            }
        }
        map
    }

    fn insert(&mut self, row: Row, offset: usize) -> Result<(), String> {
        let named = format!("route `{} {}`", row.method, row.path);
        if row.method.is_empty() || !row.method.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(format!("{named}: the method must be in capitals, such as `GET`"));
        }
        let Some(path) = row.path.strip_prefix('/') else {
            return Err(format!("{named}: the path must begin with `/`"));
        };
        let class = row.class.as_deref().unwrap_or(&row.api);
        if !self.audiences.contains_key(&row.api) {
            return Err(format!("{named}: api `{}` is not declared; add an `[[api]]` with its audience", row.api));
        }
        let resource = Resource::route(&row.method, &row.path, &row.api, class);
        let route = Arc::new(Route {
            name: resource.name().into(),
            resource,
            class: class.into(),
            action: row.action.as_str().into(),
            api: row.api.as_str().into(),
            method: row.method.clone(),
            template: row.path.clone(),
            scope: row.scope.as_deref().map(Into::into),
            offset,
        });
        let mut level = &mut self.root;
        let mut segments = path.split('/').peekable();
        while let Some(segment) = segments.next() {
            let last = segments.peek().is_none();
            match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                Some(name) if name.starts_with('*') => {
                    if !last {
                        return Err(format!("{named}: `{{{name}}}` must be the last segment"));
                    }
                    if level.rest.insert(row.method, Arc::clone(&route)).is_some() {
                        return Err(format!("{named} is declared twice; remove one"));
                    }
                    self.all.push(route);
                    return Ok(());
                }
                Some(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
                    level = level.named.get_or_insert_default();
                }
                Some(_) => return Err(format!("{named}: a name is letters, digits and `_` between braces")),
                None if segment.contains(['{', '}', '*', '%', '?', '#']) => {
                    return Err(format!("{named}: `{segment}` mixes text and pattern; a name takes a whole segment"));
                }
                None => level = level.fixed.entry(segment.to_owned()).or_default(),
            }
        }
        if level.here.insert(row.method, Arc::clone(&route)).is_some() {
            return Err(format!("{named} is declared twice; remove one"));
        }
        self.all.push(route);
        Ok(())
    }

    pub(crate) fn find(&self, method: &str, path: &str) -> Option<RouteMatch> {
        let path = path.strip_prefix('/')?;
        let segments: Vec<&str> = path.split('/').collect();
        if segments.len() > 64 {
            return None;
        }
        // HEAD asks for what GET would say (RFC 9110 9.3.2).
        let head = || (method == "HEAD").then(|| walk(&self.root, "GET", &segments)).flatten();
        let route = walk(&self.root, method, &segments).or_else(head)?;
        let params = params(&route.template, &segments);
        Some(RouteMatch { route, params })
    }
}

fn walk(level: &Level, method: &str, segments: &[&str]) -> Option<Arc<Route>> {
    let Some((first, others)) = segments.split_first() else {
        return level.here.get(method).cloned();
    };
    let fixed = level.fixed.get(*first).and_then(|next| walk(next, method, others));
    let named = || level.named.as_deref().filter(|_| !first.is_empty()).and_then(|next| walk(next, method, others));
    fixed.or_else(named).or_else(|| level.rest.get(method).cloned())
}

fn params(template: &str, segments: &[&str]) -> Vec<(Arc<str>, String)> {
    let mut params = Vec::new();
    for (at, part) in template.trim_start_matches('/').split('/').enumerate() {
        let Some(name) = part.strip_prefix('{').and_then(|s| s.strip_suffix('}')) else { continue };
        let value = match name.strip_prefix('*') {
            Some(name) => (name, segments.get(at..).unwrap_or_default().join("/")),
            None => (name, segments.get(at).copied().unwrap_or_default().to_owned()),
        };
        params.push((value.0.into(), value.1));
    }
    params
}
