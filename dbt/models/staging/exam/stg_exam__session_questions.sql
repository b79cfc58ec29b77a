-- The one parser of what the exam application delivers. Whatever an element holds, it
-- becomes one row here, with the reason when it cannot be an attempt.
--
-- Each lateral step ends in `offset 0`, so that PostgreSQL reads a document and
-- extracts a field once, where it would otherwise copy the expression into every place
-- that uses the field. Filters on session_id and student_id still reach the indexes of
-- exam_results, because both columns stay outside these steps.

with

results as (

    select * from {{ ref('stg_exam__results') }}

),

sessions as (

    select * from {{ ref('stg_exam__sessions') }}

),

questions as (

    select * from {{ ref('stg_exam__questions') }}

),

results_with_sessions as (

    select
        results.session_id,
        results.student_id,
        coalesce(results.org_id, sessions.org_id) as org_id,
        coalesce(results.exam_id, sessions.exam_id) as exam_id,
        results.result_json,
        results.created_at,
        results.updated_at,
        sessions.started_at,
        sessions.ended_at,
        coalesce(octet_length(results.student_id), 0) between 1 and {{ id_max_bytes() }}
            as has_usable_student,
        coalesce(sessions.ended_at, results.created_at) as finished_at,
        sessions.started_at - {{ answered_at_tolerance() }} as earliest_answered_at,
        results.created_at + {{ answered_at_tolerance() }} as latest_answered_at
    from results
    left join sessions
        on results.session_id = sessions.session_id
    where results.is_ready

),

elements as (

    select
        results_with_sessions.*,
        element.position,
        element.raw_element,
        element.element_type
    from results_with_sessions
    cross join lateral {{ delivered_elements('results_with_sessions.result_json') }}
        as element (raw_element, position, element_type)

),

fields as (

    select
        elements.*,
        field.item_id,
        field.item_type,
        field.element_topic,
        field.topic_type,
        field.graded,
        field.graded_type,
        field.user_answer,
        field.is_answer_delivered,
        field.response_time,
        field.response_time_type,
        field.hints,
        field.hints_type,
        field.answered_text,
        field.answered_type
    from elements
    cross join lateral {{ element_fields('elements.raw_element') }} as field

),

values_checked as (

    select
        fields.*,
        checked.response_time_ms,
        checked.hint_count,
        checked.answered_at,
        checked.topic_id,
        checked.is_answered
    from fields
    cross join lateral (
        select
            {{ response_time_ms('fields.response_time_type', 'fields.response_time') }}
                as response_time_ms,
            {{ hint_count('fields.hints_type', 'fields.hints') }} as hint_count,
            {{ answered_at_in_window('fields') }} as answered_at,
            {{ topic_text('fields.topic_type', 'fields.element_topic') }} as topic_id,
            not (
                fields.is_answer_delivered
                and coalesce(btrim(fields.user_answer), '') in ('', '[]', '{}')
            ) as is_answered
        offset 0
    ) as checked

),

session_questions as (

    select

        ---------- ids
        values_checked.session_id,
        values_checked.student_id,
        values_checked.org_id,
        values_checked.exam_id,
        values_checked.item_id,
        coalesce(values_checked.topic_id, questions.topic_id) as topic_id,

        ---------- text
        values_checked.user_answer,
        {{ rejection_reason('values_checked') }} as rejection_reason,
        values_checked.raw_element,

        ---------- numerics
        values_checked.position,
        values_checked.response_time_ms,
        values_checked.hint_count,

        ---------- booleans
        case
            when values_checked.is_answered and values_checked.graded_type = 'boolean'
                then values_checked.graded = 'true'
        end as is_correct,
        values_checked.is_answered,
        values_checked.topic_id is null as is_topic_from_question,
        values_checked.response_time_ms is null
        and coalesce(values_checked.response_time_type, 'null') <> 'null'
            as has_invalid_response_time,
        values_checked.hint_count is null
        and coalesce(values_checked.hints_type, 'null') <> 'null'
            as has_invalid_hint_count,
        values_checked.answered_at is null
        and coalesce(values_checked.answered_type, 'null') <> 'null'
            as has_invalid_answered_at,
        values_checked.topic_id is null
        and coalesce(values_checked.topic_type, 'null') <> 'null'
        and coalesce(values_checked.element_topic, '') <> ''
            as has_invalid_topic,

        ---------- timestamps
        values_checked.started_at,
        values_checked.ended_at,
        coalesce(values_checked.answered_at, values_checked.finished_at) as answered_at,
        values_checked.created_at as result_created_at,
        values_checked.updated_at as result_updated_at

    from values_checked
    left join questions
        on values_checked.item_id = questions.item_id

)

select * from session_questions
