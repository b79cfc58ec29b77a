create table ops.dbt_results (
    run_id bigint not null references ops.pipeline_runs on delete cascade,
    node text not null,
    resource_type text not null,
    status text not null,
    seconds double precision not null,
    row_count bigint,
    message text,
    primary key (run_id, node)
);
comment on table ops.dbt_results is
    'What became of each model, snapshot and test of a dbt run. One row per run and node';
comment on column ops.dbt_results.status is
    'As dbt says it: success, pass, warn, fail, error, skipped, no-op';
comment on column ops.dbt_results.row_count is
    'Rows that a model or snapshot wrote, null of a view; of a test, the rows that fail';
comment on column ops.pipeline_runs.details is
    'What the step says of itself, the lock and database session it holds, who was refused meanwhile';
comment on column ops.pipeline_runs.versions is
    'What ran: this package, the git revision of its image, Python, PostgreSQL, and what the step adds';
