create schema if not exists exam;
comment on schema exam is
    'The exam application''s tables as this repository expects them; created here for local use only';

create table exam.exam_results (
    id uuid primary key default gen_random_uuid(),
    session_id text not null unique,
    user_id text,
    exam_id text,
    org_id text,
    status text not null,
    result_json jsonb,
    score_raw double precision,
    score_scaled double precision,
    standard_error double precision,
    percentile double precision,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index exam_results_user_id on exam.exam_results (user_id);
create index exam_results_updated_at on exam.exam_results (updated_at);

create table exam.session (
    id text primary key,
    user_id text,
    exam_id text,
    classroom_id text,
    org_id text,
    started_at timestamptz,
    ended_at timestamptz,
    status text
);
create index session_user_id on exam.session (user_id);

create table exam.question (
    id text primary key,
    content text,
    difficulty text,
    topic_id text,
    meta jsonb,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table exam.interest_goal (
    user_id text not null,
    topic_id text,
    target_level double precision not null,
    priority integer not null default 0 check (priority between 0 and 100),
    target_date date,
    created_at timestamptz not null default now(),
    unique nulls not distinct (user_id, topic_id)
);

create table exam.classroom (
    id text primary key,
    org_id text,
    name text,
    grade text
);

create table exam.classroom_student (
    classroom_id text not null,
    user_id text not null,
    from_date date not null,
    to_date date,
    primary key (classroom_id, user_id, from_date)
);
create index classroom_student_user_id on exam.classroom_student (user_id);

create table exam.student_profile (
    user_id text primary key,
    display_name text,
    locale text,
    grade text,
    group_labels jsonb,
    report_formats jsonb
);
