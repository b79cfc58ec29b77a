-- Proves that each session's attempts, graded and correct ones, are those of
-- fct_attempts, and that no attempt is without its session.
-- It matters whenever one of the two marts is built without the other.
-- To resolve, build fct_sessions, and if that does not help, with --full-refresh.
-- An error, because KPIs, topics and abilities find by session what changed. Sessions
-- whose attempts changed after fct_sessions was built are left out.
{{ config(tags=['weekly']) }}

with

changed_sessions as (

    {{ changed_since('fct_sessions', 'int_inputs__attempts') }}

),

sessions as (

    select * from {{ ref('fct_sessions') }}

),

attempts as (

    select * from {{ ref('fct_attempts') }}

),

counts as (

    select
        session_id,
        student_id,
        attempt_count,
        graded_count,
        correct_count
    from sessions
    union all
    select
        session_id,
        student_id,
        -count(*) as attempt_count,
        -count(is_correct) as graded_count,
        -count(*) filter (where is_correct) as correct_count
    from attempts
    group by session_id, student_id

)

select
    counts.session_id,
    counts.student_id,
    sum(counts.attempt_count) as attempts_too_many,
    sum(counts.graded_count) as graded_too_many,
    sum(counts.correct_count) as correct_too_many
from counts
left join changed_sessions
    on counts.session_id = changed_sessions.input_key
where changed_sessions.input_key is null
group by counts.session_id, counts.student_id
having
    sum(counts.attempt_count) <> 0
    or sum(counts.graded_count) <> 0
    or sum(counts.correct_count) <> 0
