-- The audit log: events one after another in blocks, numbered without gaps. A body may be erased later: its salt is then
-- replaced by its commitment, and the leaf still follows from the entry.
create table log_blocks (
    first_seq bigint primary key,
    count bigint not null,
    leaves bytea not null,
    entries bytea not null
);

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
