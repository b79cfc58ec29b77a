{# CTEs from abilities to topic_ability_periods of a model of topics: from when until
   when each ability counts, overall (ability_periods) and of a topic. An incremental
   build reads those of the model's CTEs students and topic_windows, as far back as
   `read_before` days before the first day to build. #}
{% macro topic_ability_periods(read_before) -%}
abilities as (
    {% if is_incremental() -%}
    select student_abilities.*
    from students
    cross join
        lateral (
            select stg_irt__abilities.*
            from {{ ref('stg_irt__abilities') }} as stg_irt__abilities
            where
                stg_irt__abilities.student_id = students.student_id
                and stg_irt__abilities.effective_date
                > {{ add_days('students.first_date', -read_before) }}
            offset 0
        ) as student_abilities
    {%- else -%}
    select stg_irt__abilities.*
    from {{ ref('stg_irt__abilities') }} as stg_irt__abilities
    {%- endif %}
),

ability_periods as (
    {{ ability_periods('abilities', ['student_id'], 'ability_id') }}
),

{% if is_incremental() -%}
built_topics as (
    select
        topic_windows.student_id,
        topic_windows.topic_id,
        min(topic_windows.feature_date) as first_date
    from topic_windows
    where topic_windows.feature_date >= topic_windows.first_date
    group by topic_windows.student_id, topic_windows.topic_id
),

-- The topics of these abilities lie together; looking for all that still count, for
-- some students only, would read every one of them. Apart from the next join, which the
-- planner would make anew for every ability.
ability_topics as materialized (
    select topic_scorings.*
    from abilities
    cross join
        lateral (
            select stg_irt__topic_scorings.*
            from {{ ref('stg_irt__topic_scorings') }} as stg_irt__topic_scorings
            where stg_irt__topic_scorings.ability_id = abilities.ability_id
            offset 0
        ) as topic_scorings
),

{% endif -%}
topic_abilities as (
    {% if is_incremental() -%}
    select topic_scorings.*
    from ability_topics as topic_scorings
    inner join built_topics
        on
            topic_scorings.student_id = built_topics.student_id
            and topic_scorings.topic_id = built_topics.topic_id
            and topic_scorings.effective_date
            > {{ add_days('built_topics.first_date', -read_before) }}
    {%- else -%}
    select topic_scorings.*
    from {{ ref('stg_irt__topic_abilities') }} as topic_scorings
    {%- endif %}
    where topic_scorings.response_count >= {{ var('topic_min_responses') }}
),

topic_ability_periods as (
    {{ ability_periods(
        'topic_abilities', ['student_id', 'topic_id'], 'topic_ability_id'
    ) }}
)
{%- endmacro %}
