{{ config(
    materialized='incremental',
    incremental_strategy='replace_affected',
    unique_key=['session_id', 'position'],
    on_schema_change='fail',
    pre_hook="{{ begin_build(['int_inputs__deliveries', 'int_inputs__question_topics']) }}",
    post_hook="{{ end_build() }}",
    meta={
        'affected': 'attempt_sessions',
        'revisions': true,
        'superseded_columns': [
            'session_id', 'item_id', 'attempt_date', 'is_first_graded', 'is_correct',
            'response_time_ms', 'user_answer',
        ],
        'settings': [
            'response_time_max_seconds', 'hint_count_max', 'answered_at_tolerance_days',
            'earliest_event_date',
        ],
    },
    indexes=[
        {'columns': ['session_id', 'position'], 'unique': true},
        {'columns': ['student_id', 'item_id']},
        {'columns': ['student_id', 'attempt_date']},
        {'columns': ['attempt_date']},
    ]
) }}

with

{% if is_incremental() %}

affected_sessions as (

    select session_id from {{ affected_sessions() }}

),

{% endif %}

session_questions as (

    select * from {{ ref('stg_exam__session_questions') }}
    {% if is_incremental() %}
    where {{ is_among('session_id', 'affected_sessions') }}
    {% endif %}

),

delivered as (

    select
        session_questions.session_id,
        session_questions.position,
        session_questions.student_id,
        session_questions.org_id,
        session_questions.exam_id,
        session_questions.item_id,
        session_questions.topic_id,
        session_questions.is_topic_from_question,
        session_questions.is_correct,
        session_questions.is_answered,
        session_questions.response_time_ms,
        session_questions.hint_count,
        session_questions.user_answer,
        session_questions.has_invalid_response_time,
        session_questions.has_invalid_hint_count,
        session_questions.has_invalid_answered_at,
        session_questions.has_invalid_topic,
        session_questions.started_at,
        session_questions.answered_at
    from session_questions
    where
        session_questions.rejection_reason is null

),

{% if is_incremental() %}

-- Used twice, which alone would have PostgreSQL copy the whole table.
attempts_before as not materialized (

    select * from {{ this }}

),

-- A session that comes, changes or goes renumbers the same student's attempts on the
-- same items in other sessions, so these are read again and kept where they differ.
touched_items as (

    select
        student_id,
        item_id
    from delivered
    union
    select
        attempts_before.student_id,
        attempts_before.item_id
    from affected_sessions
    inner join attempts_before
        on affected_sessions.session_id = attempts_before.session_id

),

attempts_of_other_sessions as (

    select attempts_before.*
    from touched_items
    inner join attempts_before
        on
            touched_items.student_id = attempts_before.student_id
            and touched_items.item_id = attempts_before.item_id
    where
        not exists (
            select 1
            from affected_sessions
            where affected_sessions.session_id = attempts_before.session_id
        )

),

{% endif %}

attempts_to_number as (

    select
        delivered.*,
        cast(null as integer) as attempt_no_before,
        cast(null as boolean) as is_first_graded_before
    from delivered
    {% if is_incremental() %}
    union all
    select
        session_id,
        position,
        student_id,
        org_id,
        exam_id,
        item_id,
        topic_id,
        is_topic_from_question,
        is_correct,
        is_answered,
        response_time_ms,
        hint_count,
        user_answer,
        has_invalid_response_time,
        has_invalid_hint_count,
        has_invalid_answered_at,
        has_invalid_topic,
        started_at,
        answered_at,
        attempt_no as attempt_no_before,
        is_first_graded as is_first_graded_before
    from attempts_of_other_sessions
    {% endif %}

),

-- session_id and position make the order total: two attempts at the same instant must
-- be numbered the same way in every build.
numbered as (

    select
        *,
        cast(row_number() over chronological as integer) as attempt_no,
        is_correct is not null
        and count(is_correct) over chronological = 1 as is_first_graded
    from attempts_to_number
    window
        chronological as (
            partition by student_id, item_id
            order by answered_at, {{ bytewise('session_id') }}, position
            rows between unbounded preceding and current row
        )

),

attempts as (

    select
        session_id || ':' || position as attempt_id,
        session_id,
        position,
        student_id,
        org_id,
        exam_id,
        item_id,
        topic_id,
        is_topic_from_question,
        is_correct,
        is_answered,
        response_time_ms,
        hint_count,
        user_answer,
        has_invalid_response_time,
        has_invalid_hint_count,
        has_invalid_answered_at,
        has_invalid_topic,
        started_at,
        answered_at,
        {{ local_date('answered_at') }} as attempt_date,
        attempt_no,
        is_first_graded
    from numbered
    where
        attempt_no is distinct from attempt_no_before
        or is_first_graded is distinct from is_first_graded_before

)

select * from attempts
