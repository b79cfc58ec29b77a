with daily_kpis as (
    select
        fct_student_daily_kpis.student_id,
        fct_student_daily_kpis.kpi_date,
        fct_student_daily_kpis.theta,
        fct_student_daily_kpis.standard_error
    from {{ ref('fct_student_daily_kpis') }} as fct_student_daily_kpis
),

goals as (
    select
        int_goals__open.student_id,
        int_goals__open.goal_key,
        int_goals__open.topic_id,
        int_goals__open.target_theta,
        int_goals__open.target_date,
        int_goals__open.priority,
        int_goals__open.is_primary,
        int_goals__open.valid_from,
        int_goals__open.valid_to
    from {{ ref('int_goals__open') }} as int_goals__open
),

topic_abilities as (
    select
        int_goals__topic_abilities.student_id,
        int_goals__topic_abilities.topic_id,
        int_goals__topic_abilities.theta,
        int_goals__topic_abilities.standard_error,
        int_goals__topic_abilities.valid_from,
        int_goals__topic_abilities.valid_to
    from {{ ref('int_goals__topic_abilities') }} as int_goals__topic_abilities
),

-- The last ability of the topic where it qualifies, else the overall one.
goal_days as (
    select
        daily_kpis.student_id,
        goals.goal_key,
        goals.topic_id,
        daily_kpis.kpi_date,
        goals.target_theta,
        goals.target_date,
        goals.priority,
        goals.is_primary,
        coalesce(topic_abilities.theta, daily_kpis.theta) as theta,
        case
            when topic_abilities.theta is null then daily_kpis.standard_error
            else topic_abilities.standard_error
        end as standard_error,
        case
            when topic_abilities.theta is not null then 'topic'
            when daily_kpis.theta is not null then 'overall'
        end as basis
    from daily_kpis
    inner join goals
        on
            daily_kpis.student_id = goals.student_id
            and daily_kpis.kpi_date >= goals.valid_from
            and daily_kpis.kpi_date < goals.valid_to
    left join topic_abilities
        on
            goals.student_id = topic_abilities.student_id
            and goals.topic_id = topic_abilities.topic_id
            and daily_kpis.kpi_date >= topic_abilities.valid_from
            and daily_kpis.kpi_date < topic_abilities.valid_to
)

select
    goal_days.student_id,
    goal_days.goal_key,
    goal_days.topic_id,
    goal_days.kpi_date,
    goal_days.target_theta,
    goal_days.target_date,
    goal_days.priority,
    goal_days.theta,
    goal_days.standard_error,
    goal_days.basis,
    {{ goal_probability(
        'goal_days.theta', 'goal_days.standard_error', 'goal_days.target_theta'
    ) }} as probability,
    goal_days.is_primary
from goal_days
