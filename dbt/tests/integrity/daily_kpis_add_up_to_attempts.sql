-- Proves of the day that was built last that every student with an attempt in the
-- population's window has a row, nobody else has, and its windows hold the attempts of
-- fct_attempts.
-- It matters whenever sessions are late, move or go.
-- To resolve, build fct_student_daily_kpis with its parents, and if that does not help,
-- with --full-refresh.
-- An error, because reports and alerts rest on this day. Students of whom something
-- arrived after the build are left out.
{{ config(tags=['weekly']) }}

{%- set day = built_as_of('fct_student_daily_kpis') -%}
{%- set short = days_setting('short_window_days') -%}
{%- set long = days_setting('long_window_days') -%}
{%- set population = days_setting('population_window_days') %}

with

changed_students as (

    {{ students_changed_since([
        ('int_activity__windowed', 'int_inputs__sessions'),
        ('fct_student_daily_kpis', 'int_inputs__activity'),
    ]) }}

),

kpis as (

    select *
    from {{ ref('fct_student_daily_kpis') }}
    where kpi_date = {{ day }}

),

attempts as (

    select
        student_id,
        {{ days_between('attempt_date', day) }} as days_ago,
        is_correct
    from {{ ref('fct_attempts') }}
    where
        attempt_date <= {{ day }}
        and attempt_date > {{ add_days(day, '-' ~ population) }}

),

counts as (

    select
        student_id,
        1 as row_count,
        attempt_count_recent,
        graded_recent_short_count
    from kpis
    union all
    select
        student_id,
        -1 as row_count,
        -count(*) filter (where days_ago < {{ long }}) as attempt_count_recent,
        -count(is_correct) filter (
            where days_ago < {{ short }}
        ) as graded_recent_short_count
    from attempts
    group by student_id

)

select
    counts.student_id,
    sum(counts.row_count) as rows_too_many,
    sum(counts.attempt_count_recent) as attempts_too_many,
    sum(counts.graded_recent_short_count) as graded_too_many
from counts
left join changed_students
    on counts.student_id = changed_students.student_id
where changed_students.student_id is null
group by counts.student_id
having
    sum(counts.row_count) <> 0
    or sum(counts.attempt_count_recent) <> 0
    or sum(counts.graded_recent_short_count) <> 0
