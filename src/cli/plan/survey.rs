//! Compares what is declared with what is there, by dry runs.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::super::api::{Answer, Api, segment};
use super::super::failure::Failure;
use super::Plan;
use super::change::{Act, Call, Change, Field, declared, differing};
use crate::registry::declared::{Declaration, Declared, Misdeclared};
use crate::registry::{Mistake, client};

/// What of a person may be patched, where it is declared.
const PATCHED: [&str; 3] = ["name", "email", "email_verified"];

/// The plan, or every mistake in the files.
pub(super) async fn survey(
    api: &Api,
    all: &Declared,
    mistakes: Vec<Misdeclared>,
    prune: bool,
) -> Result<Plan, Failure> {
    let mut survey = Survey { api, mistakes, plan: Plan { changes: Vec::new(), undeclared: Vec::new() } };
    let (clients, users) = (api.all("/api/v1/clients").await?, api.all("/api/v1/users").await?);
    let text = |item: &Value, name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    // By what files call it: its path.
    let client = |item: &Value| (text(item, "client_id"), path("clients", &text(item, "client_id")));
    let user = |item: &Value| (text(item, "username"), path("users", &text(item, "user_id")));
    let clients: BTreeMap<_, _> = clients.iter().map(client).collect();
    let users: BTreeMap<_, _> = users.iter().map(user).collect();
    for one in &all.clients {
        survey.client(one, clients.get(&one.id)).await?;
    }
    for one in &all.users {
        survey.user(one, users.get(&one.id)).await?;
    }
    // What goes, goes last: whoever works here may be among it.
    for (kind, there, declared) in [("client", &clients, &all.clients), ("user", &users, &all.users)] {
        for (id, path) in there.iter().filter(|(id, _)| !declared.iter().any(|one| one.id == **id)) {
            survey.undeclared(kind, id, path, prune).await?;
        }
    }
    if survey.mistakes.is_empty() {
        return Ok(survey.plan);
    }
    let mut mistakes = survey.mistakes;
    mistakes.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    Err(Failure::CannotTell(mistakes.iter().map(ToString::to_string).collect()))
}

fn path(kind: &str, id: &str) -> String {
    format!("/api/v1/{kind}/{}", segment(id))
}

fn call(method: Method, path: &str, body: Value) -> Call {
    Call { method, path: path.to_owned(), body: Some(body) }
}

struct Survey<'a> {
    api: &'a Api,
    mistakes: Vec<Misdeclared>,
    plan: Plan,
}

impl Survey<'_> {
    /// What a call would answer; `None` when it says what is wrong with the declaration, which is noted.
    async fn try_out(&mut self, one: &Declaration, call: &Call, etag: Option<&str>) -> Result<Option<Value>, Failure> {
        let path = format!("{}?dry_run=true", call.path);
        let answer = self.api.ask(call.method.clone(), &path, call.body.as_ref(), etag).await?;
        if answer.status == 422 {
            let errors = answer.body.get("errors").and_then(Value::as_array).into_iter().flatten();
            let text =
                |error: &Value, name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let mistakes =
                errors.map(|error| one.at(&Mistake { pointer: text(error, "pointer"), detail: text(error, "detail") }));
            let mistakes: Vec<_> = mistakes.collect();
            if !mistakes.is_empty() {
                self.mistakes.extend(mistakes);
                return Ok(None);
            }
        }
        Ok(Some(answer.accepted()?.body))
    }

    async fn there(&self, path: &str) -> Result<Answer, Failure> {
        self.api.ask(Method::GET, path, None, None).await?.accepted()
    }

    async fn client(&mut self, one: &Declaration, path: Option<&String>) -> Result<(), Failure> {
        let Some(path) = path else {
            let create = call(Method::POST, "/api/v1/clients", Value::Object(one.members.clone()));
            if self.try_out(one, &create, None).await?.is_some() {
                self.creation("client", one, "client_id", vec![create]);
            }
            return Ok(());
        };
        let before = self.there(path).await?;
        let mut members = one.members.clone();
        // Whoever was shut out in an emergency is not let in again by a file that says nothing about it.
        if let Some(disabled) = before.body.get("disabled") {
            members.entry("disabled").or_insert(disabled.clone());
        }
        let replace = call(Method::PUT, path, Value::Object(members));
        let Some(after) = self.try_out(one, &replace, before.etag.as_deref()).await? else { return Ok(()) };
        let fields = differing(&before.body, &after, client::MEMBERS);
        if fields.is_empty() {
            return Ok(());
        }
        let mut calls = vec![replace];
        let by_secret =
            after.get("auth_method").and_then(Value::as_str).is_some_and(|m| m.starts_with("client_secret"));
        if by_secret && after.get("secrets").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            calls.push(call(Method::POST, &format!("{path}/rotate-secret"), json!({})));
        }
        self.update("client", one, fields, calls, before.etag);
        Ok(())
    }

    async fn user(&mut self, one: &Declaration, path: Option<&String>) -> Result<(), Failure> {
        let mut members = one.members.clone();
        let disabled = match members.remove("disabled") {
            None => None,
            Some(Value::Bool(flag)) => Some(flag),
            Some(_) => {
                self.mistakes.push(one.at(&Mistake::of("disabled", "expected true or false")));
                None
            }
        };
        let Some(path) = path else {
            let create = call(Method::POST, "/api/v1/users", Value::Object(members));
            if self.try_out(one, &create, None).await?.is_some() {
                let disable =
                    (disabled == Some(true)).then(|| call(Method::POST, "/api/v1/users/{id}/disable", json!({})));
                self.creation("user", one, "username", [create].into_iter().chain(disable).collect());
            }
            return Ok(());
        };
        let before = self.there(path).await?;
        let (mut fields, mut calls) = (Vec::new(), Vec::new());
        let mut patch = members.clone();
        patch.retain(|name, _| PATCHED.contains(&name.as_str()));
        let roles = json!({ "roles": members.get("roles").cloned().unwrap_or_else(|| json!([])) });
        let mut tries = vec![(call(Method::PUT, &format!("{path}/roles"), roles), vec!["roles"])];
        if !patch.is_empty() {
            let names = PATCHED.into_iter().filter(|name| patch.contains_key(*name)).collect();
            tries.insert(0, (call(Method::PATCH, path, Value::Object(patch.clone())), names));
        }
        if let Some(disabled) = disabled {
            let act = if disabled { "disable" } else { "enable" };
            tries.push((call(Method::POST, &format!("{path}/{act}"), json!({})), vec!["disabled"]));
        }
        for (call, names) in tries {
            let Some(after) = self.try_out(one, &call, before.etag.as_deref()).await? else { continue };
            let differ = differing(&before.body, &after, &names);
            if !differ.is_empty() {
                fields.extend(differ);
                calls.push(call);
            }
        }
        if !fields.is_empty() {
            self.update("user", one, fields, calls, before.etag);
        }
        Ok(())
    }

    fn creation(&mut self, kind: &'static str, one: &Declaration, key: &str, calls: Vec<Call>) {
        let fields = declared(&one.members, key);
        self.plan.changes.push(Change { act: Act::Create, kind, id: one.id.clone(), fields, calls, etag: None });
    }

    fn update(
        &mut self,
        kind: &'static str,
        one: &Declaration,
        fields: Vec<Field>,
        calls: Vec<Call>,
        etag: Option<String>,
    ) {
        self.plan.changes.push(Change { act: Act::Update, kind, id: one.id.clone(), fields, calls, etag });
    }

    async fn undeclared(&mut self, kind: &'static str, id: &str, path: &str, prune: bool) -> Result<(), Failure> {
        if !prune {
            self.plan.undeclared.push(format!("{kind} {id}"));
            return Ok(());
        }
        let etag = self.there(path).await?.etag;
        let delete = Call { method: Method::DELETE, path: path.to_owned(), body: None };
        let (id, fields, calls) = (id.to_owned(), Vec::new(), vec![delete]);
        self.plan.changes.push(Change { act: Act::Delete, kind, id, fields, calls, etag });
        Ok(())
    }
}
