-- Every filter of a search has an index that ends in the number (here the rowid, which ends every index): a page is read
-- newest first from where the last one ended. Allowed outcomes are most of the log and need none.
create index events_kind on events (kind);
create index events_action on events (action) where action is not null;
create index events_resource on events (resource) where resource is not null;
create index events_request on events (request_id) where request_id is not null;
create index events_refused on events (outcome) where outcome = 'denied' or outcome = 'failed';
