-- Proves that the topics of a student's day have together the attempts, graded and
-- correct ones, that name a topic, up to the day that was built.
-- It matters whenever an attempt changes its topic, its day or its student.
-- To resolve, build fct_topic_daily_features, and if that does not help, with
-- --full-refresh.
-- An error, because tutors and reports read strengths from these rows. Students of whom
-- something arrived after the build are left out.
{{ config(tags=['weekly']) }}

with

changed_students as (

    {{ students_changed_since([('fct_topic_daily_features', 'int_inputs__sessions')]) }}

),

features as (

    select * from {{ ref('fct_topic_daily_features') }}

),

attempts as (

    select *
    from {{ ref('fct_attempts') }}
    where
        topic_id is not null
        and attempt_date <= {{ built_as_of('fct_topic_daily_features') }}

),

counts as (

    select
        student_id,
        feature_date,
        attempt_count,
        graded_count,
        correct_count
    from features
    union all
    select
        student_id,
        attempt_date as feature_date,
        -count(*) as attempt_count,
        -count(is_correct) as graded_count,
        -count(*) filter (where is_correct) as correct_count
    from attempts
    group by student_id, attempt_date

)

select
    counts.student_id,
    counts.feature_date,
    sum(counts.attempt_count) as attempts_too_many,
    sum(counts.graded_count) as graded_too_many,
    sum(counts.correct_count) as correct_too_many
from counts
left join changed_students
    on counts.student_id = changed_students.student_id
where changed_students.student_id is null
group by counts.student_id, counts.feature_date
having
    sum(counts.attempt_count) <> 0
    or sum(counts.graded_count) <> 0
    or sum(counts.correct_count) <> 0
