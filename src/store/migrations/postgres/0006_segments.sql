-- The index of the log: a segment covers some thousands of entries, from where the last one ended. An entry in no segment
-- yet is found by reading.
alter table log_state add column indexed bigint not null default 0;
create table log_segments (
    first_seq bigint primary key,
    count bigint not null,
    -- The earliest and the latest time in it.
    low bigint not null,
    high bigint not null
);
-- Which entries of a segment hold a term (`kind = decision`), by the term's hash.
create table log_terms (
    bucket bigint not null,
    first_seq bigint not null,
    postings bytea not null,
    primary key (bucket, first_seq)
);
