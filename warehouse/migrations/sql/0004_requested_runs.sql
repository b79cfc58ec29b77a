create table irt.requested_runs (
    run_id text collate "C" primary key,
    org_id text collate "C",
    status text not null default 'running' check (status in ('running', 'succeeded', 'failed')),
    started_at timestamptz not null default clock_timestamp(),
    alive_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    error text,
    detail text,
    result jsonb
);
create index requested_runs_ended_at on irt.requested_runs (ended_at);
comment on table irt.requested_runs is
    'Calibrations of data that a client of the HTTP service sent and polls for. One row per run, deleted a day after its end';
comment on column irt.requested_runs.org_id is
    'The organisation of the token that asked; null for all';
comment on column irt.requested_runs.alive_at is
    'Renewed while the service works on it: a running row that is not was left by a service that ended';
comment on column irt.requested_runs.result is
    'The answer to the client, with abilities under the ids that it sent';
