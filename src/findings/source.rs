//! What findings are fetched from, as far as [`super::sync`] needs to know it.

use std::fmt::Debug;
use std::pin::Pin;

use crate::base::Timestamp;
use crate::model::{Finding, Format, Service};

/// What a source promises.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SourceError>> + Send + 'a>>;

/// Changed when: both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Window {
    /// Not before this; whole milliseconds.
    pub from: Timestamp,
    /// Not after this.
    pub to: Timestamp,
}

/// One page, as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The bytes of an answer with a list of findings; empty: there was nothing to fetch.
    pub answer: Vec<u8>,
    /// What to ask the same question with for the rest of it.
    pub next: Option<String>,
}

/// One service, in one region, seen as one role.
pub trait Source: Send + Sync + Debug {
    /// Unique in a deployment and lasting: what is known about it is kept under this name.
    fn name(&self) -> &str;

    /// Which service.
    fn service(&self) -> Service;

    /// The first page of the findings that changed in `window`, those that changed first before the others; or, with the
    /// `next` of a page of the same window, the one after it.
    fn page<'a>(&'a self, window: Window, next: Option<&'a str>) -> Answer<'a, Page>;

    /// How many findings [`Source::again`] gives at most.
    fn most_again(&self) -> usize;

    /// These findings as they stand now, by their provider's ids; those that are gone are missing. With a `next` the answer
    /// is not whole.
    fn again<'a>(&'a self, ids: &'a [String]) -> Answer<'a, Page>;

    /// How many findings are open there, as far as that can be told.
    fn open(&self) -> Answer<'_, Option<u64>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// The bytes of an answer that says who changed a finding there; empty: it does not tell.
    fn history<'a>(&'a self, _finding: &'a Finding) -> Answer<'a, Vec<u8>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

/// What a service's findings are written in.
pub(super) const fn format(service: Service) -> Format {
    match service {
        Service::GuardDuty => Format::GuardDuty,
        Service::SecurityHub => Format::Asff,
        Service::SecurityHubV2 => Format::Ocsf,
    }
}

/// A source that does not answer, or not so that it can be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{source_name}: {problem}")]
pub struct SourceError {
    /// Which.
    pub source_name: String,
    /// What is wrong.
    pub problem: String,
}

impl SourceError {
    pub(super) fn new(source_name: &str, problem: impl std::fmt::Display) -> Self {
        // What a peer says is bounded.
        let problem = problem.to_string().chars().take(500).collect();
        Self { source_name: source_name.to_owned(), problem }
    }
}
