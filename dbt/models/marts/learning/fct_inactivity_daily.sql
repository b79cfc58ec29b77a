with daily_kpis as (
    select
        fct_student_daily_kpis.student_id,
        fct_student_daily_kpis.kpi_date,
        fct_student_daily_kpis.days_since_last_activity,
        fct_student_daily_kpis.goal_probability,
        fct_student_daily_kpis.churn_risk
    from {{ ref('fct_student_daily_kpis') }} as fct_student_daily_kpis
),

states as (
    select
        daily_kpis.student_id,
        daily_kpis.kpi_date as inactivity_date,
        daily_kpis.days_since_last_activity,
        {{ inactivity_state('daily_kpis.days_since_last_activity') }} as state,
        daily_kpis.goal_probability,
        daily_kpis.churn_risk
    from daily_kpis
)

select * from states
