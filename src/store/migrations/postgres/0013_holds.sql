-- Legal holds on the audit log: what retention leaves alone. A column that is null holds whatever it could say.
create table audit_holds (
    hold_id text primary key,
    since bigint,
    until bigint,
    principal text,
    reason text not null,
    created_at bigint not null
);
