create schema reports;
comment on schema reports is 'Rendered reports; written by the report runner only';

create table reports.report_artifacts (
    student_id text collate "C" not null,
    week_start date not null,
    format text not null,
    object_key text not null,
    size_bytes bigint not null,
    sha256 text not null,
    content_hash text not null,
    template_version text not null,
    language text not null,
    run_id text collate "C",
    created_at timestamptz not null default clock_timestamp(),
    primary key (student_id, week_start, format)
);
comment on table reports.report_artifacts is
    'Stored reports. One row per student, week and format';
comment on column reports.report_artifacts.week_start is
    'Monday of the week reported on, in the reporting time zone';
comment on column reports.report_artifacts.sha256 is
    'Of the stored bytes';
comment on column reports.report_artifacts.content_hash is
    'Of everything the report was rendered from; unchanged means no new rendering';
comment on column reports.report_artifacts.run_id is
    'Calibration run of the abilities shown; null when none were';

comment on schema ops is 'Run ledger, what each model was built of, suppression list';

create table ops.pipeline_runs (
    id bigint generated always as identity primary key,
    step text not null,
    status text not null check (status in ('running', 'succeeded', 'failed')),
    started_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    as_of_date date,
    row_count bigint,
    details jsonb not null default '{}',
    error text,
    versions jsonb not null default '{}',
    host text,
    pid integer,
    invocation_id text
);
create index pipeline_runs_step on ops.pipeline_runs (step, started_at desc);
create index pipeline_runs_running on ops.pipeline_runs (id) where status = 'running';
comment on table ops.pipeline_runs is
    'What ran, on what, and how it ended. One row per run of a step';
comment on column ops.pipeline_runs.status is
    'A running row whose process holds no advisory lock any more was killed; the next run of any step marks it failed';
comment on column ops.pipeline_runs.invocation_id is
    'Shared by the steps of one pipeline run';

create table ops.model_builds (
    model text primary key,
    as_of_date date,
    settings jsonb not null default '{}',
    built_at timestamptz not null default clock_timestamp(),
    invocation_id text
);
comment on table ops.model_builds is
    'As of which day and with which settings each dbt model was last built; written in the build''s own transaction. One row per model';

create table ops.erased_students (
    student_id text collate "C" primary key,
    erased_at timestamptz not null default clock_timestamp()
);
comment on table ops.erased_students is
    'Suppression list: staging and the online update leave these students out. One row per erased student';

-- dbt fills these two; they exist from the start so that roles can be granted on them.
create schema if not exists analytics;
create schema if not exists analytics_state;
comment on schema analytics is 'What dbt builds';
comment on schema analytics_state is
    'What each incremental dbt model has consumed; not for reading';
