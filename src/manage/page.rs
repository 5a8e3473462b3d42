//! Pages of a list: `{"items": […], "next_cursor": … | null}`, newest first.

use axum::response::Response;
use serde_json::{Value, json};

use super::Ctx;
use crate::http::change::Answer;
use crate::http::query::Query;
use crate::http::{Caller, Problem};

const DEFAULT_LIMIT: i64 = 50;
const LIMITS: std::ops::RangeInclusive<i64> = 1..=500;

/// What page is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    /// Which list, and for whom: a cursor is good for nothing else.
    bound: [String; 2],
    pub(super) limit: i64,
    /// Where it begins; `None`: at the newest.
    pub(super) after: Option<String>,
}

impl Asked {
    /// Reads the query string.
    pub(super) fn read(ctx: &Ctx, caller: &Caller, list: &str, query: Option<&str>) -> Result<Self, Problem> {
        Self::of(ctx, caller, list, Query::read(query, &["limit", "cursor"]))
    }

    /// Of a query from which the list's own parameters are taken.
    pub(super) fn of(ctx: &Ctx, caller: &Caller, list: &str, mut query: Query) -> Result<Self, Problem> {
        let bound = [caller.reference().to_string(), list.to_owned()];
        let limit = query.take("limit", |text| match text.parse() {
            Ok(limit) if LIMITS.contains(&limit) => Ok(limit),
            _ => Err("write a number from 1 to 500"),
        });
        let after = query.take("cursor", |text| {
            let opened = ctx.cursors.open_text(&bound.each_ref().map(String::as_str), text);
            opened.ok_or("this cursor belongs to another list or caller, or is none: begin again without it")
        });
        query.finish()?;
        Ok(Self { bound, limit: limit.unwrap_or(DEFAULT_LIMIT), after })
    }

    /// The answer, from one row more than was asked for: that tells whether there is another page.
    pub(super) fn answer<T>(
        &self,
        ctx: &Ctx,
        mut rows: Vec<T>,
        position: impl Fn(&T) -> String,
        view: impl Fn(&T) -> Value,
    ) -> (Response, usize) {
        let wanted = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > wanted;
        rows.truncate(wanted);
        let bound = self.bound.each_ref().map(String::as_str);
        let next = rows.last().filter(|_| more).map(|last| ctx.cursors.seal_text(&bound, &position(last)));
        let items: Vec<_> = rows.iter().map(view).collect();
        let count = items.len();
        (Answer::ok(json!({ "items": items, "next_cursor": next })).response(), count)
    }
}
