//! `GET /api/v1/audit/events/facets` and `…/histogram`: how many events there are, by what they say and over time. One answer
//! reads so much and no more; one that did not read everything says so and where to go on.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{RawQuery, State};
use serde_json::{Value, json};

use super::Shared;
use super::asked::{asked, unavailable};
use super::permissions::Search;
use crate::base::Timestamp;
use crate::http::asked::Paged;
use crate::http::query::Query;
use crate::http::routes::Parameter;
use crate::http::{May, Problem};
use crate::model::filter::{EventField, Field as _, Filter, Kind, Op, Value as Bound};
use crate::store::log::{self, Order, Walk};
use crate::store::row::EventRow;

/// How many entries one answer reads at most.
const MOST_COUNTED: u64 = 262_144;
/// How many fields are counted at once.
const MOST_FIELDS: usize = 5;
/// How many values of a field are told apart.
const MOST_VALUES: usize = 10_000;
const DEFAULT_FIELDS: &str = "kind,outcome,action,principal";
/// What a bucket of a histogram may be wide, in seconds.
const WIDTHS: [i64; 16] =
    [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 604_800, 2_592_000, 31_536_000];
const DAY: i64 = 86_400;

/// Of facets, beside what filters.
pub(super) const FACETS: [Parameter; 2] = [
    Parameter::new("fields", "By which fields, with commas between; at most 5", r#"{"type": "string"}"#),
    Parameter::new(
        "top",
        "How many values of each",
        r#"{"type": "integer", "minimum": 1, "maximum": 100, "default": 10}"#,
    ),
];
/// Of a histogram, beside what filters.
pub(super) const HISTOGRAM: [Parameter; 1] = [Parameter::new(
    "buckets",
    "How many buckets at most",
    r#"{"type": "integer", "minimum": 1, "maximum": 500, "default": 60}"#,
)];

/// What was counted of one field.
#[derive(Debug)]
struct Facet {
    field: EventField,
    values: HashMap<String, u64>,
    /// Events whose value came when there were too many to tell apart.
    beyond: u64,
    /// Events that have none.
    missing: u64,
}

impl Facet {
    fn count(&mut self, row: &EventRow<'_>) {
        let Some(value) = row.text(&self.field) else {
            self.missing += 1;
            return;
        };
        if let Some(count) = self.values.get_mut(&*value) {
            *count += 1;
        } else if self.values.len() < MOST_VALUES {
            self.values.insert(value.into_owned(), 1);
        } else {
            self.beyond += 1;
        }
    }

    fn told(self, top: usize) -> Value {
        let mut values: Vec<_> = self.values.into_iter().collect();
        values.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let others: u64 = self.beyond + values.iter().skip(top).map(|(_, count)| count).sum::<u64>();
        let top = values.into_iter().take(top).map(|(value, count)| json!({ "value": value, "count": count }));
        let (name, missing) = (self.field.name(), self.missing);
        json!({ "field": name, "values": top.collect::<Value>(), "others": others, "missing": missing })
    }
}

fn fields(text: &str) -> Result<Vec<EventField>, String> {
    let named = |name: &str| match EventField::named(name.trim()) {
        Some(field) => match field.kind() {
            Kind::Time | Kind::Number | Kind::Texts => Err(format!("`{name}` cannot be counted by")),
            _ => Ok(field),
        },
        None => {
            let near = crate::model::filter::nearest(EventField::NAMES, name);
            Err(format!(
                "there is no field `{name}`{}",
                near.map(|n| format!(": did you mean `{n}`?")).unwrap_or_default()
            ))
        }
    };
    let fields: Vec<EventField> = text.split(',').map(named).collect::<Result<_, _>>()?;
    if fields.len() > MOST_FIELDS { Err(format!("at most {MOST_FIELDS} fields at once")) } else { Ok(fields) }
}

fn number(text: &str, most: usize) -> Result<usize, String> {
    text.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| format!("write a number from 1 to {most}"))
}

fn before(page: &Paged) -> Order {
    Order::Before(page.position.as_deref().and_then(|seq| seq.parse().ok()).unwrap_or(i64::MAX))
}

/// How many events have which values.
pub(super) async fn facets(
    may: May<Search>,
    State(Shared(ctx)): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let mut q = Query::read(query.as_deref(), &super::FACETS.map(|parameter| parameter.name));
    let caller = may.caller.reference().to_string();
    let page = Paged::take(&mut q, &ctx.cursors, ("facets", caller), &["top"], ctx.guard.clock.now());
    let fields = q.take("fields", fields).or_else(|| fields(DEFAULT_FIELDS).ok()).unwrap_or_default();
    let top = q.take("top", |text| number(text, 100)).unwrap_or(10);
    let asked = asked(&mut q, page.as_of);
    q.finish()?;
    let mut rows = ctx.rows(&may)?;
    let empty = |field| Facet { field, values: HashMap::new(), beyond: 0, missing: 0 };
    let mut facets: Vec<Facet> = fields.into_iter().map(empty).collect();
    let (within, mut events) = (rows.within(), 0_u64);
    let walk = Walk { filter: &asked.filter, within: within.as_ref(), order: before(&page), most: MOST_COUNTED };
    let mut reader = ctx.store.read_log().await.map_err(unavailable(&may))?;
    let walked = log::walk(&mut reader, &walk, |_, row| {
        if rows.allow(row) {
            events += 1;
            facets.iter_mut().for_each(|facet| facet.count(row));
        }
        true
    });
    let (next, _) = walked.await.map_err(unavailable(&may))?;
    drop(reader);
    ctx.guard.audit.queue(ctx.read_event(&may, asked.names).with("items", events).with("by", "facets"));
    let is_complete = next.is_none() && page.position.is_none();
    Ok(Json(json!({
        "events": events,
        "complete": is_complete,
        "facets": facets.into_iter().map(|facet| facet.told(top)).collect::<Vec<_>>(),
        "next_cursor": next.map(|next| page.next(&ctx.cursors, &next.to_string())),
    })))
}

/// How many events there were when.
pub(super) async fn histogram(
    may: May<Search>,
    State(Shared(ctx)): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let mut q = Query::read(query.as_deref(), &super::HISTOGRAM.map(|parameter| parameter.name));
    let caller = may.caller.reference().to_string();
    let page = Paged::take(&mut q, &ctx.cursors, ("histogram", caller), &[], ctx.guard.clock.now());
    let most = q.take("buckets", |text| number(text, 500)).unwrap_or(60);
    let asked = asked(&mut q, page.as_of);
    q.finish()?;
    let span = Span::of(&asked.filter, page.as_of, most);
    let time = |op, secs| Filter::of(EventField::Time, op, Bound::Time(Timestamp::from_secs(secs)));
    let filter = asked.filter.and(time(Op::Ge, span.from)).and(time(Op::Lt, span.end()));
    let mut rows = ctx.rows(&may)?;
    let (within, mut counts, mut events) = (rows.within(), vec![0_u64; span.buckets], 0_u64);
    let walk = Walk { filter: &filter, within: within.as_ref(), order: before(&page), most: MOST_COUNTED };
    let mut reader = ctx.store.read_log().await.map_err(unavailable(&may))?;
    let walked = log::walk(&mut reader, &walk, |_, row| {
        let bucket = row.said.rest.as_ref().and_then(|rest| span.bucket(rest.time));
        if let Some(count) = bucket.and_then(|bucket| counts.get_mut(bucket))
            && rows.allow(row)
        {
            *count += 1;
            events += 1;
        }
        true
    });
    let (next, _) = walked.await.map_err(unavailable(&may))?;
    drop(reader);
    ctx.guard.audit.queue(ctx.read_event(&may, asked.names).with("items", events).with("by", "histogram"));
    let is_complete = next.is_none() && page.position.is_none();
    let bucket =
        |(n, count): (i64, u64)| json!({ "time": Timestamp::from_secs(span.from + n * span.width), "count": count });
    Ok(Json(json!({
        "events": events,
        "complete": is_complete,
        "bucket_seconds": span.width,
        "buckets": (0..).zip(counts).map(bucket).collect::<Vec<_>>(),
        "next_cursor": next.map(|next| page.next(&ctx.cursors, &next.to_string())),
    })))
}

/// The time that a histogram covers, whole buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: i64,
    width: i64,
    buckets: usize,
}

impl Span {
    /// What a filter asks for; the day before `now` when it does not say.
    fn of(filter: &Filter<EventField>, now: Timestamp, most: usize) -> Self {
        let (since, until) = log::times(filter);
        let until = until.map_or(now.as_secs() + 1, |until| until.as_secs().saturating_add(1));
        let since = since.map_or(until.saturating_sub(DAY), Timestamp::as_secs).min(until - 1);
        let wide = i64::try_from(most).unwrap_or(i64::MAX);
        let fits = |width: &i64| until.saturating_sub(since.div_euclid(*width) * width) <= width.saturating_mul(wide);
        let width = WIDTHS.into_iter().find(fits).unwrap_or_else(|| until.saturating_sub(since) / wide + 1);
        let from = since.div_euclid(width) * width;
        let buckets = usize::try_from((until.saturating_sub(from) + width - 1) / width).unwrap_or(most);
        Self { from, width, buckets: buckets.clamp(1, most + 1) }
    }

    fn end(&self) -> i64 {
        let buckets = i64::try_from(self.buckets).unwrap_or(i64::MAX);
        self.from.saturating_add(self.width.saturating_mul(buckets))
    }

    fn bucket(&self, time: Timestamp) -> Option<usize> {
        usize::try_from((time.as_secs() - self.from).div_euclid(self.width)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::filter::parse;

    fn span(filter: &str, most: usize) -> Span {
        let now = Timestamp::parse("2026-11-24T12:00:00Z").unwrap();
        Span::of(&parse(filter, now).unwrap(), now, most)
    }

    #[test]
    fn a_span_is_what_the_filter_says_in_few_enough_buckets() {
        let hour = span("time >= -1h", 60);
        assert_eq!((hour.width, hour.buckets), (300, 13));
        let day = span("kind = decision", 60);
        assert_eq!((day.width, day.buckets), (1800, 49));
        for (filter, most) in [
            ("time >= -1s", 1),
            ("time >= 1900-01-01T00:00:00Z", 10),
            ("time < 1970-01-02T00:00:00Z", 3),
            ("time >= 0001-01-01T00:00:00Z time < 9999-01-01T00:00:00Z", 1),
            ("time > 2030-01-01T00:00:00Z", 5),
        ] {
            let span = span(filter, most);
            assert!(span.width > 0 && span.buckets >= 1 && span.buckets <= most + 1, "{filter}: {span:?}");
        }
    }

    #[test]
    fn fields_are_named_and_few() {
        assert_eq!(fields("kind, data.n").unwrap(), [EventField::Kind, EventField::Data("n".into())]);
        assert!(fields("knd").unwrap_err().contains("`kind`"));
        assert!(fields("time").is_err() && fields("kind,kind,kind,kind,kind,kind").is_err());
    }
}
