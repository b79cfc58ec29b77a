-- The one parser of what the exam application delivers. Whatever an element holds, it
-- becomes one row here, with the reason when it cannot be an attempt.
--
-- Without CTEs, for the reason given in stg_exam__results. A filter on session_id is
-- looked up by index; nothing else is. The rejection_reason needs a column of sessions,
-- so that PostgreSQL cannot pass a filter on it down, where all would be parsed again.

{% set answered_at = within_bounds(
    'element.delivered_answered_at',
    'coalesce(sessions.started_at - ' ~ answered_at_tolerance() ~ ', '
    ~ earliest_event() ~ ')',
    'element.created_at + ' ~ answered_at_tolerance(),
) %}

select

    ---------- ids
    element.session_id,
    element.student_id,
    coalesce(element.org_id, sessions.org_id) as org_id,
    coalesce(element.exam_id, sessions.exam_id) as exam_id,
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
    case when element.is_answered then element.is_correct end as is_correct,
    element.is_answered,
    element.topic_id is null as is_topic_from_question,
    element.is_response_time_delivered and element.response_time_ms is null
        as has_invalid_response_time,
    element.is_hint_count_delivered and element.hint_count is null
        as has_invalid_hint_count,
    element.is_answered_at_delivered and {{ answered_at }} is null
        as has_invalid_answered_at,
    element.is_topic_delivered and element.topic_id is null as has_invalid_topic,

    ---------- timestamps
    sessions.started_at,
    sessions.ended_at,
    coalesce({{ answered_at }}, sessions.ended_at, element.created_at) as answered_at,
    element.created_at as result_created_at,
    element.updated_at as result_updated_at

from {% call computed_once() %}
    select
        parsed.*,
        cast(
            round(
                1000 * {{ within_bounds(
                    'parsed.response_time_seconds',
                    0,
                    var('response_time_max_seconds'),
                ) }}
            ) as integer
        ) as response_time_ms,
        cast(
            case
                when parsed.delivered_hint_count = trunc(parsed.delivered_hint_count)
                    then {{ within_bounds(
                        'parsed.delivered_hint_count', 0, var('hint_count_max')
                    ) }}
            end as integer
        ) as hint_count
    from {% call computed_once() %}
        select
            field.session_id,
            field.student_id,
            field.org_id,
            field.exam_id,
            field.created_at,
            field.updated_at,
            field.position,
            field.raw_element,
            field.element_type,
            field.item_id,
            {{ is_json_name('field.raw_item_id', 'field.item_id') }} as is_item_usable,
            case
                when {{ is_json_name('field.raw_topic', 'field.topic') }}
                    then nullif(btrim(field.topic), '')
            end as topic_id,
            coalesce(btrim(field.topic) <> '', false) as is_topic_delivered,
            {{ json_boolean('field.graded') }} as is_correct,
            {{ is_json_given('field.graded') }} as is_graded,
            field.user_answer,
            case
                when field.user_answer is null then not field.is_answer_delivered
                else btrim(field.user_answer) not in ('', '[]', '{}')
            end as is_answered,
            {{ json_number('field.response_time') }} as response_time_seconds,
            {{ is_json_given('field.response_time') }} as is_response_time_delivered,
            {{ json_number('field.hints') }} as delivered_hint_count,
            {{ is_json_given('field.hints') }} as is_hint_count_delivered,
            {{ parsed_timestamp('field.answered_at') }} as delivered_answered_at,
            field.answered_at is not null as is_answered_at_delivered
        from {{ delivered_elements() }} as field
    {% endcall %} as parsed
{% endcall %} as element
left join {{ ref('stg_exam__sessions') }} as sessions
    on element.session_id = sessions.session_id
left join {{ ref('stg_exam__questions') }} as questions
    on element.item_id = questions.item_id
