with weekly_kpis as (
    select * from {{ ref('fct_student_weekly_kpis') }}
)

select
    weekly_kpis.student_id as user_id,
    weekly_kpis.week_start,
    {{ json_object({
        'I_t': 'weekly_kpis.improvement_index',
        'E_t': 'weekly_kpis.time_efficiency',
        'R_t': 'weekly_kpis.recovery_rate',
        'A_t': 'weekly_kpis.engagement',
        'P': 'weekly_kpis.goal_probability',
        'S': 'weekly_kpis.churn_risk',
    }) }} as kpis,
    weekly_kpis.built_at as created_at,
    weekly_kpis.built_at as updated_at
from weekly_kpis
