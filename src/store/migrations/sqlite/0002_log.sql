-- The audit log: one leaf an event, numbered without gaps. A body may be erased later: its salt is then replaced by its
-- commitment, and the leaf still follows from the row.
create table events (
    seq integer primary key,
    event_id text not null,
    time integer not null,
    kind text not null,
    outcome text not null,
    principal text,
    action text,
    resource text,
    request_id text,
    personal blob,
    personal_salt blob not null,
    rest blob,
    rest_salt blob not null,
    leaf blob not null
) strict;
create index events_time on events (time);
create index events_principal on events (principal, seq);

-- The tree's size and frontier, whose fence says which sequencer may append, and how far the intake has been moved.
create table log_state (
    id integer primary key,
    size integer not null,
    frontier blob not null,
    fence integer not null,
    intake_moved integer not null
) strict;
insert into log_state (id, size, frontier, fence, intake_moved) values (1, 0, x'', 0, 0);

-- Signed tree heads, as notes.
create table checkpoints (
    size integer primary key,
    note text not null,
    time integer not null
) strict;

-- Who may run a task that only one process may run: the holder, until `expires_at`; `fence` grows with each change of hands.
create table leases (
    name text primary key,
    holder text not null,
    fence integer not null,
    expires_at integer not null
) strict;
