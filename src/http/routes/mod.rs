//! Routes of the management API, each described where it is made: the router and `/api/openapi.json` come from one table. What
//! a handler is guarded by is read from its own arguments, so a route without a guard does not compile here, and the document
//! names the action that is really decided.

mod document;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use http::Method;

pub use document::document;

use super::who_may::{May, Permission};

/// What readers of the document need to know of a call beside its method, path and guard.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    id: &'static str,
    summary: &'static str,
    query: &'static [Parameter],
    body: Option<&'static str>,
    status: u16,
    answer: &'static str,
    media: &'static str,
    changes: Changes,
}

/// A query parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub description: &'static str,
    /// Its type and bounds: JSON Schema, as JSON.
    pub schema: &'static str,
}

impl Parameter {
    /// A parameter.
    pub const fn new(name: &'static str, description: &'static str, schema: &'static str) -> Self {
        Self { name, description, schema }
    }
}

/// Which page of a list: the two parameters that every list takes.
pub const PAGE: [Parameter; 2] = [
    Parameter::new(
        "limit",
        "How many items at most",
        r#"{"type": "integer", "minimum": 1, "maximum": 500, "default": 50}"#,
    ),
    Parameter::new("cursor", "`next_cursor` of the page before", r#"{"type": "string"}"#),
];

/// Some parameters, one after another; as many as `N`.
pub const fn joined<const N: usize>(parts: &[&[Parameter]]) -> [Parameter; N] {
    let mut all = [PAGE[0]; N];
    let (mut at, mut parts) = (0, parts);
    while let [part, others @ ..] = parts {
        let mut part = *part;
        while let [one, left @ ..] = part {
            if let Some(place) = all.split_at_mut(at).1.first_mut() {
                *place = *one;
            }
            (at, part) = (at + 1, left);
        }
        parts = others;
    }
    all
}

/// What a call does to the deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Changes {
    Nothing,
    /// It can be tried out with `dry_run`.
    Something,
    /// The same, of something that has an `ETag`.
    Tagged,
    /// The same; `If-Match` must be there.
    TaggedAlways,
}

impl Call {
    /// A call that reads, and answers 200 with this schema.
    pub const fn reads(id: &'static str, summary: &'static str, answer: &'static str) -> Self {
        let media = "application/json";
        Self { id, summary, query: &[], body: None, status: 200, answer, media, changes: Changes::Nothing }
    }

    /// A call that changes something, and answers 200 with this schema.
    pub const fn acts(id: &'static str, summary: &'static str, answer: &'static str) -> Self {
        Self { changes: Changes::Something, ..Self::reads(id, summary, answer) }
    }

    /// With these query parameters.
    pub const fn query(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    /// With a body of this schema.
    pub const fn takes(self, body: &'static str) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Answering 201.
    pub const fn creates(self) -> Self {
        Self { status: 201, ..self }
    }

    /// Answering in another media type.
    pub const fn media(self, media: &'static str) -> Self {
        Self { media, ..self }
    }

    /// Of something whose state has a tag, which `If-Match` may name.
    pub const fn tagged(self) -> Self {
        Self { changes: Changes::Tagged, ..self }
    }

    /// Of something whose state has a tag, which `If-Match` must name.
    pub const fn tagged_always(self) -> Self {
        Self { changes: Changes::TaggedAlways, ..self }
    }
}

/// A route as the document has it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its method.
    pub method: Method,
    /// Its path, with `{names}`.
    pub path: &'static str,
    /// The Cedar action that is decided.
    pub action: &'static str,
    /// And on what.
    pub resource: String,
    /// The scope that the shipped policies want.
    pub scope: &'static str,
    call: Call,
}

/// What one room answers.
#[derive(Clone, Debug)]
pub struct Described {
    /// Its routes.
    pub operations: Vec<Operation>,
    /// The schemas that they name: JSON, an object.
    pub schemas: &'static str,
}

/// The guard among a handler's arguments: it is the first.
pub trait Guarded {
    /// What is guarded.
    type By: Permission;
}

macro_rules! guarded {
    ($(($($more:ident),*))*) => {$(
        impl<M, P: Permission, $($more),*> Guarded for (M, May<P>, $($more,)*) {
            type By = P;
        }
    )*};
}

guarded! { () (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) }

/// Routes that take the state `S`, and their descriptions.
#[derive(Debug)]
pub struct Routes<S> {
    router: Router<S>,
    operations: Vec<Operation>,
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self { router: Router::new(), operations: Vec::new() }
    }
}

macro_rules! methods {
    ($($(#[$meta:meta])* $name:ident = $method:ident;)*) => {$(
        $(#[$meta])*
        #[must_use]
        pub fn $name<H, T>(self, path: &'static str, call: Call, handler: H) -> Self
        where
            H: Handler<T, S>,
            T: Guarded + 'static,
        {
            self.route(Method::$method, MethodFilter::$method, path, call, handler)
        }
    )*};
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    methods! {
        /// A `GET`.
        get = GET;
        /// A `POST`.
        post = POST;
        /// A `PUT`.
        put = PUT;
        /// A `PATCH`.
        patch = PATCH;
        /// A `DELETE`.
        delete = DELETE;
    }

    fn route<H, T>(mut self, method: Method, filter: MethodFilter, path: &'static str, call: Call, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: Guarded + 'static,
    {
        self.operations.push(Operation {
            method,
            path,
            action: <T::By as Permission>::ACTION,
            resource: <T::By as Permission>::resource().name(),
            scope: <T::By as Permission>::SCOPE,
            call,
        });
        self.router = self.router.route(path, on(filter, handler));
        self
    }

    /// The router.
    pub fn router(self, state: S) -> Router {
        self.router.with_state(state)
    }

    /// The descriptions.
    pub fn described(self, schemas: &'static str) -> Described {
        Described { operations: self.operations, schemas }
    }
}

impl Operation {
    /// The name of the call.
    pub fn id(&self) -> &'static str {
        self.call.id
    }
}
