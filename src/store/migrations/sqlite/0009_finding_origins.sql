-- Which source a finding came from, and when it is to be looked at again: `check_at` is the end of time for those that are
-- not open.
create table finding_origins (
    source text not null,
    finding_id text not null references findings (finding_id) on delete cascade,
    check_at integer not null,
    primary key (source, finding_id)
) strict;
create index finding_origins_check on finding_origins (source, check_at);
