-- The audit log: one leaf an event, numbered without gaps. A body may be erased later: its salt is then replaced by its
-- commitment, and the leaf still follows from the row.
create table events (
    seq bigint primary key,
    event_id text not null,
    time bigint not null,
    kind text not null,
    outcome text not null,
    principal text,
    action text,
    resource text,
    request_id text,
    personal bytea,
    personal_salt bytea not null,
    rest bytea,
    rest_salt bytea not null,
    leaf bytea not null
);
create index events_time on events (time);
create index events_principal on events (principal, seq);

-- The tree's size and frontier, whose fence says which sequencer may append, and how far the intake has been moved.
create table log_state (
    id bigint primary key,
    size bigint not null,
    frontier bytea not null,
    fence bigint not null,
    intake_moved bigint not null
);
insert into log_state (id, size, frontier, fence, intake_moved) values (1, 0, '', 0, 0);

-- Signed tree heads, as notes.
create table checkpoints (
    size bigint primary key,
    note text not null,
    time bigint not null
);

-- Who may run a task that only one process may run: the holder, until `expires_at`; `fence` grows with each change of hands.
create table leases (
    name text primary key,
    holder text not null,
    fence bigint not null,
    expires_at bigint not null
);
