{#-
    What an element of result_json.questions may hold. PostgreSQL only: a second engine
    dispatches these, and nothing else of the parser.
-#}

{% macro id_max_bytes() %}
    {#- An id must fit into an index entry (2,704 bytes) together with others. -#}
    {{- return(500) -}}
{% endmacro %}

{% macro answered_at_tolerance() %}
    {{- return("interval '" ~ var('answered_at_tolerance_days') ~ " days'") -}}
{% endmacro %}

{% macro delivered_elements(document) %}
    {{- return(adapter.dispatch('delivered_elements')(document)) -}}
{% endmacro %}

{% macro postgres__delivered_elements(document) %}
    (
        select
            case
                when delivered.is_array then cast(element.ordinality as integer) else 0
            end as position,
            element.value as raw_element,
            case
                when delivered.is_array then jsonb_typeof(element.value)
                else 'questions_not_an_array'
            end as element_type,
            element.value ->> 'question_id' as item_id,
            jsonb_typeof(element.value -> 'question_id') as item_type,
            element.value ->> 'topic' as topic,
            jsonb_typeof(element.value -> 'topic') as topic_type,
            coalesce(element.value ->> 'is_correct', element.value ->> 'correct')
                as graded,
            coalesce(
                nullif(jsonb_typeof(element.value -> 'is_correct'), 'null'),
                jsonb_typeof(element.value -> 'correct')
            ) as graded_type,
            element.value ->> 'user_answer' as user_answer,
            coalesce(element.value ? 'user_answer', false) as is_answer_delivered,
            element.value -> 'time_spent_sec' as response_time,
            jsonb_typeof(element.value -> 'time_spent_sec') as response_time_type,
            element.value -> 'used_hints' as hints,
            jsonb_typeof(element.value -> 'used_hints') as hints_type,
            element.value ->> 'answered_at' as answered_at,
            jsonb_typeof(element.value -> 'answered_at') as answered_at_type
        from (
            select
                questions.value,
                coalesce(jsonb_typeof(questions.value) = 'array', false) as is_array
            from (select {{ document }} -> 'questions' as value offset 0) as questions
            offset 0
        ) as delivered
        cross join lateral jsonb_array_elements(
            case
                when delivered.is_array then delivered.value
                else jsonb_build_array(delivered.value)
            end
        ) with ordinality as element (value, ordinality)
        offset 0
    )
{% endmacro %}

{% macro response_time_ms(type, value) %}
    case
        when {{ type }} = 'number'
            then
                case
                    when
                        cast({{ value }} as numeric)
                        between 0 and {{ var('response_time_max_seconds') }}
                        then cast(round(cast({{ value }} as numeric) * 1000) as integer)
                end
    end
{% endmacro %}

{% macro hint_count(type, value) %}
    case
        when {{ type }} = 'number'
            then
                case
                    when
                        cast({{ value }} as numeric) between 0 and {{ var('hint_count_max') }}
                        and cast({{ value }} as numeric) = trunc(cast({{ value }} as numeric))
                        then cast(cast({{ value }} as numeric) as integer)
                end
    end
{% endmacro %}

{% macro parsed_timestamp(type, text) %}
    {{- return(adapter.dispatch('parsed_timestamp')(type, text)) -}}
{% endmacro %}

{% macro postgres__parsed_timestamp(type, text) %}
    {#-
        An ISO 8601 date and time; without a zone it is UTC. The two LIKEs and the
        translate keep out what PostgreSQL would also read ("now", "infinity",
        "2024-05-01 10:00 KST", the year 20226), at a tenth of a regular expression's cost.
    -#}
    case
        when
            {{ type }} = 'string'
            and length({{ text }}) <= 40
            and (
                {{ text }} like '____-__-__T__:__%' or {{ text }} like '____-__-__ __:__%'
            )
            then
                case translate(substr({{ text }}, 12), '0123456789:.', '')
                    when '' then
                        case
                            when pg_input_is_valid({{ text }}, 'timestamp')
                                then cast({{ text }} as timestamp) at time zone 'UTC'
                        end
                    when 'Z' then {{ valid_timestamptz(text) }}
                    when '+' then {{ valid_timestamptz(text) }}
                    when '-' then {{ valid_timestamptz(text) }}
                end
    end
{% endmacro %}

{% macro valid_timestamptz(text) %}
    {{- return(
        "case when pg_input_is_valid(" ~ text ~ ", 'timestamptz') then cast(" ~ text
        ~ " as timestamptz) end"
    ) -}}
{% endmacro %}

{% macro topic_text(type, value) %}
    case
        when
            {{ type }} in ('string', 'number')
            and octet_length({{ value }}) <= {{ id_max_bytes() }}
            then nullif(btrim({{ value }}), '')
    end
{% endmacro %}

{% macro within_bounds(value, lowest, highest) %}
    {#- The value, or null outside the bounds; an unknown bound excludes nothing. -#}
    case
        when
            coalesce({{ value }} >= {{ lowest }}, true)
            and coalesce({{ value }} <= {{ highest }}, true)
            then {{ value }}
    end
{% endmacro %}

{% macro rejection_reason() %}
    {#- The first reason that applies; null for an attempt. -#}
    case
        when element.element_type = 'questions_not_an_array' then 'questions_not_an_array'
        when element.element_type <> 'object' then 'not_an_object'
        when coalesce(results.student_id, '') = '' then 'missing_user'
        when octet_length(results.student_id) > {{ id_max_bytes() }} then 'bad_user'
        when coalesce(element.item_type, 'null') = 'null' then 'missing_item'
        when btrim(element.item_id) = '' then 'missing_item'
        when element.item_type not in ('string', 'number') then 'bad_item'
        when octet_length(element.item_id) > {{ id_max_bytes() }} then 'bad_item'
        when element.graded_type not in ('boolean', 'null') then 'bad_is_correct'
        when coalesce(element.answered_at, sessions.ended_at, results.created_at) is null
            then 'missing_time'
    end
{% endmacro %}

{% macro delivered_count(document) %}
    {{- return(adapter.dispatch('delivered_count')(document)) -}}
{% endmacro %}

{% macro postgres__delivered_count(document) %}
    {#- Questions that a result delivers; what is not an array counts as one. -#}
    case
        when jsonb_typeof({{ document }} -> 'questions') = 'array'
            then jsonb_array_length({{ document }} -> 'questions')
        else 1
    end
{% endmacro %}

{% macro is_not_erased(student_id) %}
    {#-
        Written with `not in`, because a hashed list filters at the scan; an anti-join
        would keep the planner from looking up one student by index.
    -#}
    (
        {{ student_id }} is null
        or {{ student_id }} not in (
            select erased_students.student_id
            from {{ optional_source('ops', 'erased_students') }} as erased_students
        )
    )
{% endmacro %}
