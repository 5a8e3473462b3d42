-- OAuth clients. `body` is model::Client as JSON; the columns beside it are what statements ask for.
create table clients (
    client_id text primary key,
    version integer not null,
    body text not null
) strict;

-- Signing keys: the private half sealed.
create table signing_keys (
    kid text primary key,
    alg text not null,
    public_jwk text not null,
    sealed blob not null,
    created_at integer not null,
    activates_at integer not null,
    retired_at integer,
    expires_at integer
) strict;

-- Other sealed values of this deployment, such as the key that signs checkpoints.
create table sealed_values (
    name text primary key,
    sealed blob not null
) strict;

-- Opaque access tokens, under the SHA-256 of their text.
create table access_tokens (
    digest blob primary key,
    jti text not null unique,
    body text not null,
    exp integer not null
) strict;
create index access_tokens_exp on access_tokens (exp);

-- The denylist: ids of revoked tokens until they would have died. `seq` follows commit order (the row of `changes` is
-- locked first), so a follower asks for what came after the last it saw.
create table revocations (
    seq integer primary key autoincrement,
    jti text not null unique,
    exp integer not null,
    revoked_at integer not null
) strict;
create index revocations_exp on revocations (exp);

-- Client assertions already used (RFC 7523 3, `jti`).
create table client_assertions (
    client_id text not null,
    jti text not null,
    exp integer not null,
    primary key (client_id, jti)
) strict;
create index client_assertions_exp on client_assertions (exp);

-- One number a topic, raised by every change of it: what other processes poll.
create table changes (
    topic text primary key,
    version integer not null
) strict;

-- Events recorded in the transaction of the change they belong to, until the sequencer moves them to the log.
create table event_intake (
    id integer primary key autoincrement,
    entry blob not null
) strict;
