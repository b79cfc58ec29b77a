{% snapshot goal_history %}

{{ config(
    unique_key=['student_id', 'goal_key'],
    strategy='check',
    check_cols=['target_theta', 'priority', 'target_date'],
    updated_at='found_valid_from',
    hard_deletes='invalidate',
) }}

{%- set has_history = load_relation(this) is not none %}

with

goals as (

    select
        student_id collate "C" as student_id,
        goal_key collate "C" as goal_key,
        topic_id collate "C" as topic_id,
        target_theta,
        priority,
        target_date,
        created_at
    from {{ ref('stg_exam__goals') }}

),

-- What the snapshot holds of each goal: the version that is open, or else the day on
-- which the last one was closed.
known_goals as (

    {% if has_history %}
    select
        student_id,
        goal_key,
        max(dbt_valid_from) filter (where dbt_valid_to is null) as open_from,
        max(dbt_valid_to) as closed_on
    from {{ this }}
    group by student_id, goal_key
    {% else %}
    select
        student_id,
        goal_key,
        cast(null as date) as open_from,
        cast(null as date) as closed_on
    from goals
    where false
    {% endif %}

),

dated_goals as (

    select
        goals.student_id,
        goals.goal_key,
        goals.topic_id,
        goals.target_theta,
        goals.priority,
        goals.target_date,
        {{ local_date('goals.created_at') }} as created_date,
        -- A first version holds from its creation, a change from the build that finds
        -- it. Neither begins before what it replaces (greatest passes over nulls).
        case
            when known_goals.open_from is not null
                then
                    greatest(
                        {{ as_of_date() }},
                        known_goals.open_from,
                        {{ local_date('goals.created_at') }}
                    )
            else
                greatest(
                    {{ local_date("coalesce(goals.created_at, '-infinity')") }},
                    known_goals.closed_on
                )
        end as found_valid_from
    from goals
    left join known_goals
        on
            goals.student_id = known_goals.student_id
            and goals.goal_key = known_goals.goal_key

)

select * from dated_goals

{% endsnapshot %}
