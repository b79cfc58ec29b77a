{{ config(
    materialized='incremental',
    incremental_strategy='replace_differing',
    unique_key=['student_id', 'goal_key', 'valid_from'],
    on_schema_change='fail',
    pre_hook="{{ begin_whole_build() }}",
    post_hook="{{ end_whole_build() }}",
    indexes=[{'columns': ['student_id']}]
) }}

with goals as (
    select
        int_goals__versioned.student_id,
        int_goals__versioned.goal_key,
        int_goals__versioned.topic_id,
        int_goals__versioned.target_theta,
        int_goals__versioned.priority,
        int_goals__versioned.target_date,
        int_goals__versioned.valid_from,
        -- A goal is open up to and including its target date.
        least(
            coalesce(int_goals__versioned.valid_to, {{ end_of_time() }}),
            {{ add_days('int_goals__versioned.target_date', 1) }}
        ) as valid_to
    from {{ ref('int_goals__versioned') }} as int_goals__versioned
    where int_goals__versioned.target_theta is not null
),

boundaries as (
    select
        goals.student_id,
        goals.valid_from as changed_on
    from goals
    where goals.valid_from < goals.valid_to
    union
    select
        goals.student_id,
        goals.valid_to as changed_on
    from goals
    where goals.valid_from < goals.valid_to
),

periods as (
    select
        boundaries.student_id,
        boundaries.changed_on as valid_from,
        lead(boundaries.changed_on) over (
            partition by boundaries.student_id
            order by boundaries.changed_on
        ) as valid_to
    from boundaries
),

open_goals as (
    select
        periods.student_id,
        goals.goal_key,
        goals.topic_id,
        goals.target_theta,
        goals.priority,
        goals.target_date,
        periods.valid_from,
        periods.valid_to,
        -- A student has one goal per topic, so that this order is total.
        row_number() over (
            partition by periods.student_id, periods.valid_from
            order by
                goals.priority desc nulls last,
                goals.target_date asc nulls last,
                goals.topic_id asc nulls last
        ) as rank_number
    from periods
    inner join goals
        on
            periods.student_id = goals.student_id
            and periods.valid_from >= goals.valid_from
            and periods.valid_from < goals.valid_to
)

select
    open_goals.student_id,
    open_goals.goal_key,
    open_goals.topic_id,
    open_goals.target_theta,
    open_goals.priority,
    open_goals.target_date,
    open_goals.valid_from,
    open_goals.valid_to,
    open_goals.rank_number = 1 as is_primary
from open_goals
