{{ config(
    materialized='incremental',
    incremental_strategy='replace_differing',
    unique_key=['student_id'],
    on_schema_change='fail',
    pre_hook="{{ begin_whole_build() }}",
    post_hook="{{ end_whole_build() }}",
    indexes=[{'columns': ['student_id'], 'unique': true}]
) }}

with

sessions as (

    select * from {{ ref('fct_sessions') }}

),

profiles as (

    select * from {{ ref('stg_exam__student_profiles') }}

),

classrooms as (

    select * from {{ ref('stg_exam__classrooms') }}

),

classroom_students as (

    select * from {{ ref('stg_exam__classroom_students') }}

),

-- The class joined last is the one that counts; the id settles a tie.
ranked_classrooms as (

    select
        classroom_students.student_id,
        classroom_students.classroom_id,
        classrooms.classroom_name,
        classrooms.org_id,
        row_number() over (
            partition by classroom_students.student_id
            order by
                classroom_students.from_date desc,
                classroom_students.classroom_id asc
        ) as classroom_rank
    from classroom_students
    left join classrooms
        on classroom_students.classroom_id = classrooms.classroom_id
    where
        classroom_students.from_date <= {{ as_of_date() }}
        and coalesce(classroom_students.to_date, {{ end_of_time() }})
        >= {{ as_of_date() }}
),

current_classrooms as (

    select * from ranked_classrooms
    where classroom_rank = 1

),

session_activity as (

    select
        student_id,
        min(first_attempt_date) as first_attempt_date,
        max(greatest(session_date, last_attempt_date)) as last_activity_date
    from sessions
    where session_date <= {{ as_of_date() }}
    group by student_id

),

ranked_organisations as (

    select
        student_id,
        org_id,
        row_number() over (
            partition by student_id order by started_at desc, session_id desc
        ) as organisation_rank
    from sessions
    where session_date <= {{ as_of_date() }} and org_id is not null

),

last_organisations as (

    select
        student_id,
        org_id
    from ranked_organisations
    where organisation_rank = 1

),

students as (

    select student_id from session_activity
    union
    select student_id from profiles

),

final as (

    select
        students.student_id,
        profiles.display_name,
        profiles.locale,
        profiles.grade,
        profiles.group_labels,
        profiles.report_formats,
        coalesce(current_classrooms.org_id, last_organisations.org_id) as org_id,
        current_classrooms.classroom_id,
        current_classrooms.classroom_name,
        session_activity.first_attempt_date,
        session_activity.last_activity_date
    from students
    left join profiles
        on students.student_id = profiles.student_id
    left join current_classrooms
        on students.student_id = current_classrooms.student_id
    left join session_activity
        on students.student_id = session_activity.student_id
    left join last_organisations
        on students.student_id = last_organisations.student_id

)

select * from final
