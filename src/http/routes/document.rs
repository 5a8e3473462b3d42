//! The table as an OpenAPI 3.1 document.

use http::Method;
use serde_json::{Map, Value, json};

use super::super::problem::Kind;
use super::{Changes, Described, Operation, Parameter};

const ABOUT: &str = "Administers a Stockade deployment and reads its audit log. Every call is decided by Cedar: each names the \
    action and the resource; the scope is what the shipped policies ask for. Changes are recorded in their own transaction. \
    Lists are newest first.";

const SCOPES: [(&str, &str); 5] = [
    ("admin", "Administer"),
    ("audit:read", "Read and verify the audit log"),
    ("findings:read", "Read findings"),
    ("findings:write", "Work on findings"),
    ("pdp", "Ask for decisions about others"),
];

/// The OpenAPI 3.1 document of what these rooms answer, at this issuer.
pub fn document(issuer: &str, rooms: &[Described]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut schemas: Map<String, Value> = Map::new();
    schemas.insert("Problem".to_owned(), problem());
    for room in rooms {
        // It parses: a test reads every room's.
        schemas.extend(serde_json::from_str::<Map<String, Value>>(room.schemas).unwrap_or_default());
        for operation in &room.operations {
            // OpenAPI knows no name that takes the rest of a path.
            let path = paths
                .entry(operation.path.replace("{*", "{"))
                .or_insert_with(|| json!({ "parameters": in_path(operation.path) }));
            if let Some(path) = path.as_object_mut() {
                path.insert(operation.method.as_str().to_ascii_lowercase(), described(operation));
            }
        }
    }
    paths.insert("/api/openapi.json".to_owned(), own());
    let scopes: Map<_, _> = SCOPES.iter().map(|(name, words)| ((*name).to_owned(), Value::from(*words))).collect();
    let (token, authorize) = (format!("{issuer}/oauth/token"), format!("{issuer}/oauth/authorize"));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Stockade management API", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT,
        },
        "servers": [{ "url": issuer }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Problem": {
                    "description": "What went wrong (RFC 9457)",
                    "headers": { "X-Request-ID": { "schema": { "type": "string" } } },
                    "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
                },
            },
            "securitySchemes": {
                "oauth2": {
                    "type": "oauth2",
                    "description": "An access token whose `aud` is the issuer",
                    "flows": {
                        "clientCredentials": { "tokenUrl": token, "scopes": scopes },
                        "authorizationCode": { "authorizationUrl": authorize, "tokenUrl": token, "scopes": scopes },
                    },
                },
            },
        },
    })
}

/// The document itself, which anyone may read.
fn own() -> Value {
    json!({
        "get": {
            "operationId": "getOpenApi", "summary": "This document", "tags": ["openapi"], "security": [],
            "responses": {
                "200": { "description": "Done", "content": { "application/json": { "schema": { "type": "object" } } } },
            },
        },
    })
}

/// RFC 9457, with what ours has beside its own members.
fn problem() -> Value {
    let types: Vec<_> = Kind::ALL.iter().map(|kind| kind.type_uri()).collect();
    let mistake = json!({
        "type": "object",
        "properties": {
            "pointer": { "type": "string", "description": "JSON Pointer into the body" },
            "parameter": { "type": "string" },
            "detail": { "type": "string" },
        },
        "required": ["detail"],
    });
    json!({
        "type": "object",
        "properties": {
            "type": { "type": "string", "enum": types },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "request_id": { "type": "string", "description": "`X-Request-ID` of the answer" },
            "errors": { "type": "array", "items": mistake, "description": "Every mistake of the request" },
        },
        "required": ["type", "title", "status", "request_id"],
    })
}

/// The names between braces.
fn in_path(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let names = names.map(|name| name.trim_start_matches('*'));
    let parameter =
        |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } });
    names.map(parameter).collect()
}

fn in_query(parameter: &Parameter) -> Value {
    let schema: Value = serde_json::from_str(parameter.schema).unwrap_or(Value::Bool(true));
    json!({ "name": parameter.name, "in": "query", "description": parameter.description, "schema": schema })
}

fn in_header(name: &str, description: &str, required: bool) -> Value {
    let schema = json!({ "type": "string" });
    json!({ "name": name, "in": "header", "description": description, "required": required, "schema": schema })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn described(operation: &Operation) -> Value {
    let call = &operation.call;
    let mut parameters: Vec<_> = call.query.iter().map(in_query).collect();
    if call.changes != Changes::Nothing {
        let schema = r#"{"type": "boolean", "default": false}"#;
        parameters.push(in_query(&Parameter::new("dry_run", "Answer what would happen, and leave no trace", schema)));
    }
    if call.changes != Changes::Nothing && operation.method == Method::POST {
        parameters.push(in_header("Idempotency-Key", "Makes the call safe to repeat for a day", false));
    }
    let always = call.changes == Changes::TaggedAlways;
    if always || call.changes == Changes::Tagged {
        parameters.push(in_header("If-Match", "The `ETag` of the state that is meant; `*` for any", always));
    }
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    let mut responses = Map::new();
    let mut answer = json!({
        "description": if call.status == 201 { "Made" } else { "Done" },
        "content": { call.media: { "schema": reference(call.answer) } },
    });
    if let (201, Some(answer)) = (call.status, answer.as_object_mut()) {
        answer.insert("headers".to_owned(), json!({ "Location": { "schema": { "type": "string" } } }));
    }
    responses.insert(call.status.to_string(), answer);
    for status in ["401", "403", "429", "503", "default"] {
        responses.insert(status.to_owned(), problem.clone());
    }
    let tag = operation.path.split('/').nth(3).unwrap_or_default();
    let mut described = json!({
        "operationId": call.id,
        "summary": call.summary,
        "description": format!("Decided as `{}` on `{}`.", operation.action, operation.resource),
        "tags": [tag],
        "security": [{ "oauth2": [operation.scope] }],
        "responses": responses,
    });
    if let Some(members) = described.as_object_mut() {
        if !parameters.is_empty() {
            members.insert("parameters".to_owned(), parameters.into());
        }
        if let Some(body) = call.body {
            let media = match operation.method {
                Method::PATCH => "application/merge-patch+json",
                _ => "application/json",
            };
            let body = json!({ "required": true, "content": { media: { "schema": reference(body) } } });
            members.insert("requestBody".to_owned(), body);
        }
    }
    described
}
