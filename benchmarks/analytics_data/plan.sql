-- Who sits which session on which day, and what the school consists of. Everything follows
-- from :students and the seed, so that two runs measure the same rows.
create schema bench;
select setseed(0.25);

create table bench.items as
select
    n,
    'q_' || lpad(n::text, 5, '0') as item_id,
    't_' || lpad((n / 10)::text, 3, '0') as topic_id,
    exp(random_normal(0, 0.3)) as discrimination,
    random_normal() as difficulty
from generate_series(0, 1999) as n;
alter table bench.items add primary key (n);

-- Students join in the first 130 of 183 days, and two in five leave before the end. Days are
-- numbered from 0; 180 to 182 are the nights that are built one by one.
create table bench.students as
select
    n,
    's_' || lpad(n::text, 6, '0') as student_id,
    random_normal() as theta,
    joined_on,
    case
        when random() < 0.4 then joined_on + floor(random() * (183 - joined_on))::int
        else 182
    end as left_on,
    1 + floor(-9.3 * ln(1 - random()))::int as session_count,
    floor(random() * 200)::int as first_topic
from (
    select
        n,
        floor(130 * random())::int as joined_on
    from generate_series(1, :students) as n
) as joining;

-- Four topics of five questions a session, out of a student's 24 topics. Of the sessions of
-- the last 60 days, 0.5 % arrive in the first of the nights, as many in each other.
create table bench.sessions as
select
    row_number() over (order by planned.started_at, planned.student_number) as n,
    md5(planned.student_number || '-' || planned.k)::uuid::text as session_id,
    planned.*,
    case
        when planned.day >= 180 then planned.day - 179
        when planned.day >= 120 and planned.lateness < 0.015
            then 1 + floor(planned.lateness / 0.005)::int
        else 0
    end as night
from (
    select
        students.n as student_number,
        students.student_id,
        students.theta + 0.004 * (days.day - students.joined_on) as theta,
        students.first_topic,
        numbers.k,
        days.day,
        floor(24 * random())::int as topic_offset,
        random() as lateness,
        -- From 8 to 22 o'clock in Seoul.
        :start::timestamptz + days.day * interval '1 day'
        + (8 + 14 * random()) * interval '1 hour' as started_at
    from bench.students as students
    cross join lateral generate_series(1, students.session_count) as numbers (k)
    cross join lateral (
        select
            students.joined_on
            + floor(random() * (students.left_on - students.joined_on + 1))::int
            + 0 * numbers.k as day
    ) as days
) as planned;
alter table bench.sessions add primary key (n);
create index on bench.sessions (night);
create index on bench.sessions (student_number, day);
analyze bench.students, bench.sessions;

insert into exam.question (id, content, difficulty, topic_id, meta, created_at, updated_at)
select
    item_id,
    'Question ' || n || ': ' || repeat('Which of these follows? ', 5),
    case when difficulty < -0.5 then 'easy' when difficulty < 0.5 then 'medium' else 'hard' end,
    topic_id,
    '{"tags": []}',
    :start,
    :start
from bench.items;

insert into exam.classroom (id, org_id, name, grade)
select 'c_' || n, 'org_' || n % 10, 'Class ' || n, (1 + n % 3)::text
from generate_series(0, :students / 30) as n;

insert into exam.classroom_student (classroom_id, user_id, from_date)
select 'c_' || n / 30, student_id, :start::date + joined_on from bench.students;

insert into exam.student_profile (
    user_id, display_name, locale, grade, group_labels, report_formats
)
select
    student_id,
    'Student ' || n,
    case n % 2 when 0 then 'ko' else 'en' end,
    (1 + n % 3)::text,
    jsonb_build_object('gender', case n % 2 when 0 then 'f' else 'm' end),
    '["html"]'
from bench.students;

-- Three in five have an overall goal, three in ten one for a topic of theirs.
insert into exam.interest_goal (
    user_id, topic_id, target_level, priority, target_date, created_at
)
select
    student_id,
    case when part = 1 then 't_' || lpad(((first_topic + n % 24) % 200)::text, 3, '0') end,
    round((theta + random())::numeric, 2),
    10 * part + n % 10,
    case when n % 4 = 0 then :start::date + 120 + n % 120 end,
    :start::timestamptz + joined_on * interval '1 day'
from bench.students
cross join generate_series(0, 1) as part
where n % 10 < case part when 0 then 6 else 3 end;

insert into irt.mirt_fit_meta (
    run_id, model, engine, status, is_converged, prior_mean, prior_sd, fitted_at
)
values ('bench', '2PL', 'native', 'accepted', true, 0, 1, :start);

insert into irt.mirt_item_params (
    run_id, item_id, model, params, discrimination, difficulty, fitted_at
)
select
    'bench',
    item_id,
    '2PL',
    jsonb_build_object('a', discrimination, 'b', difficulty, 'c', 0),
    discrimination,
    difficulty,
    :start
from bench.items;

insert into irt.publications (run_id, in_force_from) values ('bench', '0001-01-01');
