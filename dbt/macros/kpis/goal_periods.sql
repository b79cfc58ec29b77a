{# CTEs `primary_goals`, the days on which a goal is the one that counts, and
   `goal_topic_abilities`, the days on which an ability of its topic does; each row has a
   number. They read the CTE `students` (student_id, built_from) of the model. #}
{% macro goal_periods() -%}
primary_goals as materialized (
    select
        goals.*,
        students.built_from,
        goals.valid_from as starts_on,
        goals.valid_to as ends_before,
        row_number() over () as goal_number
    from {{ ref('int_goals__open') }} as goals
    inner join students on goals.student_id = students.student_id
    where goals.is_primary
),

goal_topic_abilities as materialized (
    select
        topic_abilities.topic_ability_id,
        topic_abilities.student_id,
        topic_abilities.theta,
        topic_abilities.standard_error,
        primary_goals.built_from,
        greatest(topic_abilities.valid_from, primary_goals.valid_from) as starts_on,
        least(topic_abilities.valid_to, primary_goals.valid_to) as ends_before,
        row_number() over () as topic_ability_number
    from {{ ref('int_goals__topic_abilities') }} as topic_abilities
    inner join primary_goals
        on
            topic_abilities.student_id = primary_goals.student_id
            and topic_abilities.topic_id = primary_goals.topic_id
            and topic_abilities.valid_from < primary_goals.valid_to
            and topic_abilities.valid_to > primary_goals.valid_from
)
{%- endmacro %}
