-- From when on somebody or something is at the risk that a finding gives: since the finding named it, opened again or grew
-- worse. 0: before that was written down.
alter table finding_entities add column since integer not null default 0;
