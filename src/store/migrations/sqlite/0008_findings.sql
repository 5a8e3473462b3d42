-- Findings as they stand. `body` is model::Finding as JSON; `updated` orders revisions; `revision` is the one in force of
-- `revisions` that are kept; findings of one cause share `case_id`.
create table findings (
    finding_id text primary key,
    format text not null,
    provider_key text not null,
    provider_id text not null,
    case_id text not null,
    severity integer not null,
    state text not null,
    type text,
    product text,
    account text,
    region text,
    sample integer not null,
    updated integer not null,
    revision integer not null,
    revisions integer not null,
    content_hash blob not null,
    recorded_at integer not null,
    body text not null
) strict;
create unique index findings_key on findings (format, provider_key);
create index findings_provider on findings (provider_id);
create index findings_case on findings (case_id, updated, finding_id);
create index findings_updated on findings (updated, finding_id);
create index findings_state on findings (state, severity, updated, finding_id);
create index findings_type on findings (type, updated, finding_id);
create index findings_account on findings (account, updated, finding_id);

-- Every revision as it was received: `raw` is compressed (lz4), `content_hash` the SHA-256 of the bytes themselves.
create table finding_revisions (
    finding_id text not null references findings (finding_id) on delete cascade,
    revision integer not null,
    content_hash blob not null,
    updated integer not null,
    recorded_at integer not null,
    origin text not null,
    raw blob not null,
    primary key (finding_id, revision)
) strict;
create index finding_revisions_content on finding_revisions (finding_id, content_hash);

-- What findings are or were about.
create table finding_entities (
    kind text not null,
    value text not null,
    finding_id text not null references findings (finding_id) on delete cascade,
    primary key (kind, value, finding_id)
) strict;
create index finding_entities_finding on finding_entities (finding_id);

-- Where the feeds stand. `body` is findings::sync's own.
create table finding_sources (
    source text primary key,
    version integer not null,
    body text not null,
    updated_at integer not null
) strict;
