-- The index of the log: a segment covers some thousands of entries, from where the last one ended. An entry in no segment
-- yet is found by reading.
alter table log_state add column indexed integer not null default 0;
create table log_segments (
    first_seq integer primary key,
    count integer not null,
    -- The earliest and the latest time in it.
    low integer not null,
    high integer not null
) strict;
-- Which entries of a segment hold a term (`kind = decision`), by the term's hash.
create table log_terms (
    bucket integer not null,
    first_seq integer not null,
    postings blob not null,
    primary key (bucket, first_seq)
) without rowid, strict;
