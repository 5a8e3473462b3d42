-- OAuth clients. `body` is model::Client as JSON; the columns beside it are what statements ask for.
create table clients (
    client_id text primary key,
    version bigint not null,
    body text not null
);

-- Signing keys: the private half sealed.
create table signing_keys (
    kid text primary key,
    alg text not null,
    public_jwk text not null,
    sealed bytea not null,
    created_at bigint not null,
    activates_at bigint not null,
    retired_at bigint,
    expires_at bigint
);

-- Other sealed values of this deployment, such as the key that signs checkpoints.
create table sealed_values (
    name text primary key,
    sealed bytea not null
);

-- Opaque access tokens, under the SHA-256 of their text.
create table access_tokens (
    digest bytea primary key,
    jti text not null unique,
    body text not null,
    exp bigint not null
);
create index access_tokens_exp on access_tokens (exp);

-- The denylist: ids of revoked tokens until they would have died. `seq` follows commit order (the row of `changes` is
-- locked first), so a follower asks for what came after the last it saw.
create table revocations (
    seq bigint generated always as identity primary key,
    jti text not null unique,
    exp bigint not null,
    revoked_at bigint not null
);
create index revocations_exp on revocations (exp);

-- Client assertions already used (RFC 7523 3, `jti`).
create table client_assertions (
    client_id text not null,
    jti text not null,
    exp bigint not null,
    primary key (client_id, jti)
);
create index client_assertions_exp on client_assertions (exp);

-- One number a topic, raised by every change of it: what other processes poll.
create table changes (
    topic text primary key,
    version bigint not null
);

-- Events recorded in the transaction of the change they belong to, until the sequencer moves them to the log.
create table event_intake (
    id bigint generated always as identity primary key,
    entry bytea not null
);
