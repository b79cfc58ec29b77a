{#-
    What an element of result_json.questions may hold. PostgreSQL only: a second engine
    dispatches these, and nothing else of the parser.
-#}

{% macro id_max_bytes() %}
    {#- An id must fit into an index entry (2,704 bytes) together with others. -#}
    {{- return(500) -}}
{% endmacro %}

{% macro answered_at_tolerance() %}
    {#- In hours, of which every day has 24 here: adding days asks the zone of the session. -#}
    {{- return("interval '" ~ 24 * days_setting('answered_at_tolerance_days') ~ " hours'") -}}
{% endmacro %}

{% macro earliest_event() %}
    {#-
        A clock that was never set says 1970 or the year 1. Days would be built from there
        on, thousands of weeks for every item.
    -#}
    {{- return("cast('" ~ var('earliest_event_date') ~ " 00:00:00+00' as timestamptz)") -}}
{% endmacro %}

{% macro possible_time(timestamp) %}
    {{- return(
        "case when " ~ finite(timestamp) ~ " >= " ~ earliest_event() ~ " then " ~ timestamp
        ~ " end"
    ) -}}
{% endmacro %}

{% macro delivered_elements() %}
    {{- return(adapter.dispatch('delivered_elements')()) -}}
{% endmacro %}

{% macro postgres__delivered_elements() %}
    {%- call computed_once() %}
        select
            delivered.session_id,
            delivered.student_id,
            delivered.org_id,
            delivered.exam_id,
            delivered.created_at,
            delivered.updated_at,
            case
                when delivered.is_array then cast(element.ordinality as integer) else 0
            end as position,
            element.value as raw_element,
            case
                when delivered.is_array then jsonb_typeof(element.value)
                else 'questions_not_an_array'
            end as element_type,
            element.value ->> 'question_id' as item_id,
            element.value -> 'question_id' as raw_item_id,
            element.value ->> 'topic' as topic,
            element.value -> 'topic' as raw_topic,
            coalesce(
                nullif(element.value -> 'is_correct', 'null'), element.value -> 'correct'
            ) as graded,
            element.value ->> 'user_answer' as user_answer,
            coalesce(element.value ? 'user_answer', false) as is_answer_delivered,
            element.value -> 'time_spent_sec' as response_time,
            element.value -> 'used_hints' as hints,
            element.value ->> 'answered_at' as answered_at
        from (
            select
                document.*,
                coalesce(jsonb_typeof(document.questions) = 'array', false) as is_array
            from {% call computed_once() %}
                select
                    results.session_id,
                    results.student_id,
                    results.org_id,
                    results.exam_id,
                    results.created_at,
                    results.updated_at,
                    results.result_json -> 'questions' as questions
                from {{ ref('stg_exam__results') }} as results
                where results.is_ready
            {% endcall %} as document
        ) as delivered
        cross join lateral jsonb_array_elements(
            case
                when delivered.is_array then delivered.questions
                else jsonb_build_array(delivered.questions)
            end
        ) with ordinality as element (value, ordinality)
    {% endcall -%}
{% endmacro %}

{% macro json_number(value) %}
    {{- return(adapter.dispatch('json_number')(value)) -}}
{% endmacro %}

{% macro postgres__json_number(value) %}
    {{- return(
        "case when jsonb_typeof(" ~ value ~ ") = 'number' then cast(" ~ value
        ~ " as numeric) end"
    ) -}}
{% endmacro %}

{% macro json_boolean(value) %}
    {{- return(adapter.dispatch('json_boolean')(value)) -}}
{% endmacro %}

{% macro postgres__json_boolean(value) %}
    {{- return("case " ~ value ~ " when 'true' then true when 'false' then false end") -}}
{% endmacro %}

{% macro is_json_given(value) %}
    {{- return(adapter.dispatch('is_json_given')(value)) -}}
{% endmacro %}

{% macro postgres__is_json_given(value) %}
    {{- return("coalesce(" ~ value ~ " <> 'null', false)") -}}
{% endmacro %}

{% macro is_json_name(value, text) %}
    {{- return(adapter.dispatch('is_json_name')(value, text)) -}}
{% endmacro %}

{% macro postgres__is_json_name(value, text) %}
    jsonb_typeof({{ value }}) in ('string', 'number')
    and octet_length({{ text }}) <= {{ id_max_bytes() }}
{% endmacro %}

{% macro parsed_timestamp(text) %}
    {{- return(adapter.dispatch('parsed_timestamp')(text)) -}}
{% endmacro %}

{% macro postgres__parsed_timestamp(text) %}
    {#-
        An ISO 8601 date and time; without a zone it is UTC. LIKE and translate keep out
        what PostgreSQL would also read ("now", "infinity", "2024-05-01 10:00 KST", the
        year 20226), at a tenth of a regular expression's cost. What nearly every writer
        sends comes first, because translate costs more than all the rest; there a last
        character that is no digit is what PostgreSQL alone would pass over.
    -#}
    case
        when
            {{ text }} like '____-__-__T__:__:__Z'
            and ascii(substr({{ text }}, 19, 1)) between 48 and 57
            then {{ valid_timestamptz(text) }}
        when length({{ text }}) > 40 then null
        when {{ text }} like '____-__-__T__:__%' or {{ text }} like '____-__-__ __:__%'
            then
                case translate(substr({{ text }}, 12), '0123456789:.', '')
                    when 'Z' then {{ valid_timestamptz(text) }}
                    when '+' then {{ valid_timestamptz(text) }}
                    when '-' then {{ valid_timestamptz(text) }}
                    when '' then
                        case
                            when pg_input_is_valid({{ text }}, 'timestamp')
                                then cast({{ text }} as timestamp) at time zone 'UTC'
                        end
                end
    end
{% endmacro %}

{% macro valid_timestamptz(text) %}
    {{- return(
        "case when pg_input_is_valid(" ~ text ~ ", 'timestamptz') then cast(" ~ text
        ~ " as timestamptz) end"
    ) -}}
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
        when coalesce(element.student_id, '') = '' then 'missing_user'
        when octet_length(element.student_id) > {{ id_max_bytes() }} then 'bad_user'
        when coalesce(btrim(element.item_id), '') = '' then 'missing_item'
        when not element.is_item_usable then 'bad_item'
        when element.is_graded and element.is_correct is null then 'bad_is_correct'
        when coalesce(sessions.ended_at, element.created_at) is null then 'missing_time'
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
