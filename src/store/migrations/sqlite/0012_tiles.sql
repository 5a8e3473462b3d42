-- The inner nodes of the log's tree: the hashes of tile `number` of a level above 0 are the roots of up to 256 tiles of the
-- level below. The leaves stand in `log_blocks`.
create table log_tiles (
    level integer not null,
    number integer not null,
    hashes blob not null,
    primary key (level, number)
) strict;
