-- People. `body` is model::User as JSON; `username` in its one spelling.
create table users (
    user_id text primary key,
    username text not null unique,
    version bigint not null,
    body text not null
);

-- What people prove themselves with. `body` is a hash or sealed; `last_step` is the last one-time code's, used once.
create table credentials (
    credential_id text primary key,
    user_id text not null references users (user_id) on delete cascade,
    kind text not null,
    label text not null,
    body bytea not null,
    last_step bigint,
    created_at bigint not null,
    last_used_at bigint
);
create index credentials_user on credentials (user_id, kind);

-- Sessions, under the SHA-256 of the cookie's value.
create table sessions (
    digest bytea primary key,
    session_id text not null unique,
    user_id text not null references users (user_id) on delete cascade,
    acr bigint not null,
    amr text not null,
    auth_time bigint not null,
    created_at bigint not null,
    last_seen_at bigint not null,
    expires_at bigint not null,
    address text,
    user_agent text
);
create index sessions_user on sessions (user_id);
create index sessions_expires on sessions (expires_at);

-- Families of tokens: one authorization of a person, and all that came of it. `body` is model::Grant as JSON; an `offline`
-- one outlives its session.
create table grants (
    grant_id text primary key,
    client_id text not null,
    user_id text not null references users (user_id) on delete cascade,
    session_id text,
    body text not null,
    offline bigint not null,
    dpop_jkt text,
    created_at bigint not null,
    expires_at bigint not null,
    revoked_at bigint
);
create index grants_user on grants (user_id, client_id);
create index grants_client on grants (client_id);
create index grants_session on grants (session_id);
create index grants_expires on grants (expires_at);

-- Authorization codes, under the SHA-256 of their text. A used one stays a while, to be recognised.
create table authorization_codes (
    digest bytea primary key,
    grant_id text not null,
    client_id text not null,
    body text not null,
    expires_at bigint not null,
    used_at bigint
);
create index authorization_codes_expires on authorization_codes (expires_at);
create index authorization_codes_grant on authorization_codes (grant_id);

-- Refresh tokens, under the SHA-256 of their text: active, rotated (used, has a child), replaced (its answer was lost).
create table refresh_tokens (
    digest bytea primary key,
    grant_id text not null,
    parent_digest bytea,
    state text not null,
    issued_at bigint not null,
    used_at bigint,
    expires_at bigint not null,
    access_jti text not null,
    access_exp bigint not null
);
create index refresh_tokens_expires on refresh_tokens (expires_at);
create index refresh_tokens_grant on refresh_tokens (grant_id);
create index refresh_tokens_parent on refresh_tokens (parent_digest);

-- Pushed authorization requests (RFC 9126), under the SHA-256 of their request_uri.
create table pushed_requests (
    digest bytea primary key,
    client_id text not null,
    body text not null,
    expires_at bigint not null,
    used_at bigint
);
create index pushed_requests_expires on pushed_requests (expires_at);

-- Device authorizations (RFC 8628), under the SHA-256 of their device code.
create table device_codes (
    digest bytea primary key,
    user_code text not null unique,
    client_id text not null,
    scopes text not null,
    resources text not null,
    dpop_jkt text,
    state text not null,
    grant_id text,
    interval_secs bigint not null,
    polled_at bigint,
    created_at bigint not null,
    expires_at bigint not null
);
create index device_codes_expires on device_codes (expires_at);

-- What people agreed to give which client. `body` is model::Consent as JSON.
create table consents (
    user_id text not null references users (user_id) on delete cascade,
    client_id text not null,
    body text not null,
    given_at bigint not null,
    primary key (user_id, client_id)
);
create index consents_client on consents (client_id);

-- Accounts at upstream providers.
create table upstream_links (
    provider text not null,
    subject text not null,
    user_id text not null references users (user_id) on delete cascade,
    label text not null,
    created_at bigint not null,
    last_used_at bigint,
    primary key (provider, subject)
);
create index upstream_links_user on upstream_links (user_id);

-- Answers to management calls that carried an Idempotency-Key.
create table idempotency_keys (
    principal text not null,
    idempotency_key text not null,
    request_digest bytea not null,
    status bigint,
    body text,
    expires_at bigint not null,
    primary key (principal, idempotency_key)
);
create index idempotency_keys_expires on idempotency_keys (expires_at);

-- Logout tokens still to be delivered.
create table logout_deliveries (
    delivery_id text primary key,
    client_id text not null,
    user_id text not null,
    session_id text,
    attempts bigint not null,
    next_at bigint not null,
    expires_at bigint not null
);
create index logout_deliveries_next on logout_deliveries (next_at);
