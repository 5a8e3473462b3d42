-- What people here made of findings. `body` is model::Triage; `quiet`: resolved or suppressed.
create table finding_triage (
    finding_id text primary key references findings (finding_id) on delete cascade,
    version integer not null,
    handling text not null,
    quiet integer not null,
    assignee text,
    suppressed_by text,
    body text not null
) strict;
create index finding_triage_suppressed on finding_triage (suppressed_by);

-- What was done to each, in the words of those who did it.
create table finding_notes (
    note_id text primary key,
    finding_id text not null references findings (finding_id) on delete cascade,
    at integer not null,
    author text,
    act text not null,
    text text
) strict;
create index finding_notes_finding on finding_notes (finding_id, at, note_id);

-- Which findings nobody wants to be told of, and until when. `body` is model::Suppression.
create table finding_suppressions (
    suppression_id text primary key,
    expires_at integer not null,
    is_ended integer not null,
    body text not null
) strict;
create index finding_suppressions_force on finding_suppressions (is_ended, expires_at);

-- Findings that count: open at their provider, and neither resolved nor suppressed here.
create view active_findings as
    select f.* from findings f
    left join finding_triage t on t.finding_id = f.finding_id
    where f.state = 'open' and coalesce(t.quiet, 0) = 0;
