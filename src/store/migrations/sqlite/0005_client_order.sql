-- Clients are listed newest first.
alter table clients add column created_at integer not null default 0;
update clients set created_at =
  cast(strftime('%s', json_extract(body, '$.created_at')) as integer) * 1000000
  + cast(substr(json_extract(body, '$.created_at'), 21, 6) as integer);
create index clients_created on clients (created_at, client_id);
