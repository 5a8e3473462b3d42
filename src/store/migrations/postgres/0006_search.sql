-- Every filter of a search has an index that ends in the number: a page is read newest first from where the last one
-- ended. Allowed outcomes are most of the log and need none.
create index events_kind on events (kind, seq);
create index events_action on events (action, seq) where action is not null;
create index events_resource on events (resource, seq) where resource is not null;
create index events_request on events (request_id, seq) where request_id is not null;
create index events_refused on events (outcome, seq) where outcome = 'denied' or outcome = 'failed';
