{{ config(
    materialized='incremental',
    incremental_strategy='replace_affected',
    unique_key=['topic_ability_id', 'valid_from'],
    on_schema_change='fail',
    pre_hook="{{ begin_build([
        'int_inputs__goal_topics', 'int_inputs__goal_abilities',
        'int_inputs__publications',
    ]) }}",
    post_hook="{{ end_build() }}",
    meta={
        'affected': 'students',
        'key_columns': ['student_id'],
        'settings': ['ability_lookback_days', 'topic_min_responses'],
    },
    indexes=[{'columns': ['student_id', 'topic_id']}]
) }}

{#- Topics are scored with the ability that they belong to, in one transaction, and
    never change: a tenth of the rows tells whose there are other ones. -#}

with goal_topics as (
    select distinct
        int_goals__open.student_id,
        int_goals__open.topic_id
    from {{ ref('int_goals__open') }} as int_goals__open
    {% if is_incremental() %}
    inner join {{ affected_students() }} as affected
        on int_goals__open.student_id = affected.student_id
    {% endif %}
    where int_goals__open.topic_id is not null
),

scorings as (
    select found.*
    from goal_topics
    {% if is_incremental() -%}
    -- Looked up topic by topic: the goals are few, and the abilities the largest table.
    cross join
        lateral (
            select stg_irt__topic_abilities.*
            from {{ ref('stg_irt__topic_abilities') }} as stg_irt__topic_abilities
            where
                stg_irt__topic_abilities.student_id = goal_topics.student_id
                and stg_irt__topic_abilities.topic_id = goal_topics.topic_id
            -- Keeps PostgreSQL from reading all of them at once.
            offset 0
        ) as found
    {%- else -%}
    inner join {{ ref('stg_irt__topic_abilities') }} as found
        on
            goal_topics.student_id = found.student_id
            and goal_topics.topic_id = found.topic_id
    {%- endif %}
),

topic_abilities as (
    select
        scorings.topic_ability_id,
        scorings.student_id,
        scorings.topic_id,
        scorings.run_id,
        scorings.theta,
        scorings.standard_error,
        scorings.effective_date,
        {{ next_effective_date(
            'scorings', ['student_id', 'topic_id', 'run_id'],
            'topic_ability_id'
        ) }} as next_effective_date
    from scorings
    where scorings.response_count >= {{ var('topic_min_responses') }}
),

runs as (
    select
        int_runs__in_force.run_id,
        int_runs__in_force.valid_from,
        int_runs__in_force.valid_to
    from {{ ref('int_runs__in_force') }} as int_runs__in_force
),

periods as (
    select
        topic_abilities.topic_ability_id,
        topic_abilities.student_id,
        topic_abilities.topic_id,
        topic_abilities.run_id,
        topic_abilities.theta,
        topic_abilities.standard_error,
        topic_abilities.effective_date,
        greatest(topic_abilities.effective_date, runs.valid_from) as valid_from,
        least(
            {{ estimate_counts_until(
                'topic_abilities.effective_date', 'topic_abilities.next_effective_date'
            ) }},
            runs.valid_to
        ) as valid_to
    from topic_abilities
    inner join runs on topic_abilities.run_id = runs.run_id
)

select
    periods.topic_ability_id,
    periods.student_id,
    periods.topic_id,
    periods.run_id,
    periods.theta,
    periods.standard_error,
    periods.effective_date,
    periods.valid_from,
    periods.valid_to
from periods
where periods.valid_from < periods.valid_to
