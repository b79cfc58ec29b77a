-- The one parser of what the exam application delivers. Whatever an element holds, it
-- becomes one row here, with the reason when it cannot be an attempt.
--
-- Without CTEs, for the reason given in stg_exam__results; each `offset 0` keeps
-- PostgreSQL from copying an expression to every place that uses its value.

select

    ---------- ids
    results.session_id,
    results.student_id,
    coalesce(results.org_id, sessions.org_id) as org_id,
    coalesce(results.exam_id, sessions.exam_id) as exam_id,
    element.item_id,
    coalesce(element.topic_id, questions.topic_id) as topic_id,

    ---------- text
    element.user_answer,
    {{ rejection_reason() }} as rejection_reason,
    element.raw_element,

    ---------- numerics
    element.position,
    element.response_time_ms,
    element.hint_count,

    ---------- booleans
    case
        when element.is_answered and element.graded_type = 'boolean'
            then element.graded = 'true'
    end as is_correct,
    element.is_answered,
    element.topic_id is null as is_topic_from_question,
    element.is_response_time_delivered and element.response_time_ms is null
        as has_invalid_response_time,
    element.is_hint_count_delivered and element.hint_count is null
        as has_invalid_hint_count,
    element.is_answered_at_delivered and element.answered_at is null
        as has_invalid_answered_at,
    element.is_topic_delivered and element.topic_id is null as has_invalid_topic,

    ---------- timestamps
    sessions.started_at,
    sessions.ended_at,
    coalesce(element.answered_at, sessions.ended_at, results.created_at) as answered_at,
    results.created_at as result_created_at,
    results.updated_at as result_updated_at

from {{ ref('stg_exam__results') }} as results
left join {{ ref('stg_exam__sessions') }} as sessions
    on results.session_id = sessions.session_id
cross join lateral (
    select
        parsed.*,
        {{ within_bounds(
            'parsed.delivered_answered_at',
            'sessions.started_at - ' ~ answered_at_tolerance(),
            'results.created_at + ' ~ answered_at_tolerance(),
        ) }} as answered_at
    from (
        select
            field.position,
            field.raw_element,
            field.element_type,
            field.item_id,
            field.item_type,
            field.graded,
            field.graded_type,
            field.user_answer,
            {{ topic_text('field.topic_type', 'field.topic') }} as topic_id,
            {{ response_time_ms('field.response_time_type', 'field.response_time') }}
                as response_time_ms,
            {{ hint_count('field.hints_type', 'field.hints') }} as hint_count,
            {{ parsed_timestamp('field.answered_at_type', 'field.answered_at') }}
                as delivered_answered_at,
            field.topic_type <> 'null' and btrim(field.topic) <> '' as is_topic_delivered,
            coalesce(field.response_time_type <> 'null', false)
                as is_response_time_delivered,
            coalesce(field.hints_type <> 'null', false) as is_hint_count_delivered,
            coalesce(field.answered_at_type <> 'null', false) as is_answered_at_delivered,
            not (
                field.is_answer_delivered
                and coalesce(btrim(field.user_answer), '') in ('', '[]', '{}')
            ) as is_answered
        from {{ delivered_elements('results.result_json') }} as field
        offset 0
    ) as parsed
    offset 0
) as element
left join {{ ref('stg_exam__questions') }} as questions
    on element.item_id = questions.item_id
where results.is_ready
