//! Searching findings: a filter as the conditions of one statement. Every value is bound.

use sqlx::{Database, Encode, Postgres, QueryBuilder, Sqlite, Type};

use super::StoreError;
use super::findings::{Row, Stored, stored};
use super::sql::{Conn, Handle, Sql};
use crate::base::Timestamp;
use crate::model::Severity;
use crate::model::filter::{self, Condition, FindingField, Op, Value, Words};

/// Which findings are asked for.
pub type Filter = filter::Filter<FindingField>;

const SEARCH: &str = "select finding_id, case_id, updated, revision, revisions, content_hash, recorded_at, body
    from findings where ";
const PAGE: Sql = Sql::shared("PAGE", SEARCH);

/// What the two databases write differently.
trait Dialect: Database {
    /// A text of the body.
    fn in_body(name: &'static str) -> &'static str;
}

impl Dialect for Sqlite {
    fn in_body(name: &'static str) -> &'static str {
        match name {
            "title" => "json_extract(body, '$.title')",
            _ => "json_extract(body, '$.description')",
        }
    }
}

impl Dialect for Postgres {
    fn in_body(name: &'static str) -> &'static str {
        match name {
            "title" => "(body::json ->> 'title')",
            _ => "(body::json ->> 'description')",
        }
    }
}

/// A statement as it is put together.
struct Statement<DB: Database>(QueryBuilder<DB>);

impl<DB: Dialect> Statement<DB>
where
    i64: for<'q> Encode<'q, DB> + Type<DB>,
    String: for<'q> Encode<'q, DB> + Type<DB>,
{
    fn push(&mut self, text: &str) -> &mut Self {
        self.0.push(text);
        self
    }

    fn number(&mut self, value: i64) -> &mut Self {
        self.0.push_bind(value);
        self
    }

    fn text(&mut self, value: impl Into<String>) -> &mut Self {
        self.0.push_bind(value.into());
        self
    }

    fn filter(&mut self, filter: &Filter) {
        match filter {
            Filter::All(all) => self.joined(all, " and ", "1 = 1"),
            Filter::Any(any) => self.joined(any, " or ", "1 = 0"),
            Filter::Not(one) => {
                // What is not known is not so: a finding without a region is not in this one.
                self.push("not coalesce(");
                self.filter(one);
                self.push(", false)");
            }
            Filter::Is(condition) => self.condition(condition),
            Filter::Says(words) => self.says(words),
        }
    }

    fn joined(&mut self, several: &[Filter], between: &str, none: &str) {
        if several.is_empty() {
            self.push(none);
            return;
        }
        self.push("(");
        for (n, one) in several.iter().enumerate() {
            self.push(if n > 0 { between } else { "" });
            self.filter(one);
        }
        self.push(")");
    }

    /// Each word in the title, the description or the type.
    fn says(&mut self, words: &Words) {
        self.push("(");
        for (n, word) in words.words().iter().enumerate() {
            self.push(if n > 0 { " and " } else { "" });
            self.push("lower(coalesce(").push(DB::in_body("title")).push(", '') || ' ' || coalesce(");
            self.push(DB::in_body("description")).push(", '') || ' ' || coalesce(type, ''))").like(word);
        }
        self.push(")");
    }

    /// Whether the text before this has another in it; that text is in small letters.
    fn like(&mut self, part: &str) -> &mut Self {
        let mut pattern = String::from("%");
        for c in part.chars() {
            if matches!(c, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('%');
        self.push(" like lower(").text(pattern).push(") escape '\\'")
    }

    fn condition(&mut self, asked: &Condition<FindingField>) {
        if let Some(kind) = asked.field.entity() {
            self.push("finding_id in (select finding_id from finding_entities where kind = ").text(kind.as_str());
            if asked.value != Value::Anything {
                self.push(" and ").compared("value", asked);
            }
            self.push(")");
            return;
        }
        let column = match asked.field {
            FindingField::FindingId => "finding_id",
            FindingField::CaseId => "case_id",
            FindingField::ProviderId => "provider_id",
            FindingField::Format => "format",
            FindingField::Severity => "severity",
            FindingField::State => "state",
            FindingField::Sample => "sample",
            FindingField::Type => "type",
            FindingField::Product => "product",
            FindingField::Account => "account",
            FindingField::Region => "region",
            FindingField::Title => DB::in_body("title"),
            FindingField::Description => DB::in_body("description"),
            FindingField::UpdatedAt => "updated",
            FindingField::RecordedAt => "recorded_at",
            FindingField::Revision => "revision",
            FindingField::Revisions => "revisions",
            FindingField::Principal
            | FindingField::Client
            | FindingField::User
            | FindingField::Role
            | FindingField::Session
            | FindingField::AccessKey
            | FindingField::Address
            | FindingField::Domain
            | FindingField::Image
            | FindingField::Resource => "value",
        };
        self.compared(column, asked);
    }

    fn compared(&mut self, column: &'static str, asked: &Condition<FindingField>) {
        let op = asked.op.as_str();
        match &asked.value {
            Value::Anything => drop(self.push(column).push(" is not null")),
            Value::Text(text) if asked.field == FindingField::Severity => {
                let level = Severity::parse(text).map_or(-1, |severity| i64::from(severity.level()));
                self.push(column).push(" ").push(op).push(" ").number(level);
            }
            Value::Text(text) if asked.op == Op::Has => {
                self.push("lower(").push(column).push(")").like(text);
            }
            Value::Text(text) => drop(self.push(column).push(" = ").text(text)),
            Value::Time(time) => drop(self.push(column).push(" ").push(op).push(" ").number(time.as_micros())),
            Value::Number(number) => drop(self.push(column).push(" ").push(op).push(" ").number(*number)),
            Value::Bool(yes) => drop(self.push(column).push(" = ").number(i64::from(*yes))),
            Value::Address(address) => drop(self.push(column).push(" = ").text(address.to_string())),
            // The grammar has no such condition on a finding.
            Value::Network(_) => drop(self.push("1 = 0")),
        }
    }

    fn page(&mut self, filter: &Filter, before: Option<(Timestamp, &str)>, limit: i64) {
        self.filter(filter);
        if let Some((updated, finding_id)) = before {
            self.push(" and (updated, finding_id) < (").number(updated.as_micros());
            self.push(", ").text(finding_id).push(")");
        }
        self.push(" order by updated desc, finding_id desc limit ").number(limit);
    }
}

/// Up to `limit` findings that match, those with the newest activity first, after `before`.
///
/// # Errors
/// When the database fails.
pub async fn page(
    handle: &mut impl Handle,
    filter: &Filter,
    before: Option<(Timestamp, &str)>,
    limit: i64,
) -> Result<Vec<Stored>, StoreError> {
    let rows: Result<Vec<Row>, _> = match handle.conn() {
        Conn::Sqlite(conn) => {
            let mut statement = Statement(QueryBuilder::<Sqlite>::new(SEARCH));
            statement.page(filter, before, limit);
            statement.0.build_query_as().fetch_all(conn).await
        }
        Conn::Postgres(conn) => {
            let mut statement = Statement(QueryBuilder::<Postgres>::new(SEARCH));
            statement.page(filter, before, limit);
            statement.0.build_query_as().fetch_all(conn).await
        }
    };
    rows.map_err(|e| PAGE.failed(e))?.into_iter().map(stored).collect()
}
