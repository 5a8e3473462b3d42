-- The largest size that a head was signed over, and the log key's signature on it: a head that is deleted is missed.
alter table log_state add column signed_size integer not null default 0;
alter table log_state add column signed_proof blob not null default x'';
