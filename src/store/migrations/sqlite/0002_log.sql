-- The audit log: events one after another in blocks, numbered without gaps. A body may be erased later: its salt is then
-- replaced by its commitment, and the leaf still follows from the entry.
create table log_blocks (
    first_seq integer primary key,
    count integer not null,
    leaves blob not null,
    entries blob not null
) strict;

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
