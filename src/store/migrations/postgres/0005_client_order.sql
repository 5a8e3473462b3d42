-- Clients are listed newest first.
alter table clients add column created_at bigint not null default 0;
update clients set created_at =
  (extract(epoch from (body::jsonb ->> 'created_at')::timestamptz) * 1000000)::bigint;
create index clients_created on clients (created_at, client_id);
