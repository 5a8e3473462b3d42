-- Clients that registered themselves (RFC 7591), beside their rows in `clients`: the SHA-256 of the token they manage themselves
-- with (RFC 7592), and when something was first issued to them.
create table client_registrations (
    client_id text primary key,
    token_digest bytea,
    created_at bigint not null,
    used_at bigint
);
create index client_registrations_unused on client_registrations (created_at) where used_at is null;
