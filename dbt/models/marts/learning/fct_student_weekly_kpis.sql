with daily_kpis as (
    select * from {{ ref('fct_student_daily_kpis') }}
),

last_build as (
    select stg_ops__model_builds.as_of_date
    from {{ ref('stg_ops__model_builds') }} as stg_ops__model_builds
    where stg_ops__model_builds.model = 'fct_student_daily_kpis'
),

-- Not from daily_kpis: PostgreSQL writes out a CTE that is read twice, every day of
-- everybody, for whoever reads the week of one student.
first_week as (
    select {{ week_start('min(kpi_days.kpi_date)') }} as week_start
    from {{ ref('fct_student_daily_kpis') }} as kpi_days
),

-- Weeks are joined by the day that stands for them, so that a reader of one week reads
-- one day.
week_starts as (
    select
        last_build.as_of_date,
        {{ add_days('first_week.week_start', 'week_numbers.week_number * 7') }}
            as week_start
    from last_build
    cross join first_week
    cross join {{ days_series(
        '0',
        days_between('first_week.week_start', 'last_build.as_of_date') ~ ' / 7',
        'week_numbers',
        'week_number',
    ) }}
),

weeks as (
    select
        week_starts.week_start,
        least({{ add_days('week_starts.week_start', 6) }}, week_starts.as_of_date)
            as as_of_date,
        {{ add_days('week_starts.week_start', 6) }} <= week_starts.as_of_date
            as is_complete
    from week_starts
),

weekly_kpis as (
    select
        daily_kpis.student_id,
        weeks.week_start,
        weeks.as_of_date,
        weeks.is_complete,
        daily_kpis.improvement_index,
        daily_kpis.improvement_basis,
        daily_kpis.improvement_null_reason,
        daily_kpis.theta_difference,
        daily_kpis.theta_difference_standard_error,
        daily_kpis.time_efficiency,
        daily_kpis.time_efficiency_null_reason,
        daily_kpis.recovery_rate,
        daily_kpis.recovery_null_reason,
        daily_kpis.recovery_attempt_count,
        daily_kpis.engagement,
        daily_kpis.engagement_null_reason,
        daily_kpis.goal_probability,
        daily_kpis.goal_null_reason,
        daily_kpis.churn_risk,
        daily_kpis.theta,
        daily_kpis.standard_error,
        daily_kpis.run_id,
        daily_kpis.attempt_count_recent,
        daily_kpis.session_count_recent,
        daily_kpis.graded_recent_short_count,
        daily_kpis.graded_previous_short_count,
        daily_kpis.days_since_last_activity,
        daily_kpis.built_at
    from weeks
    inner join daily_kpis on weeks.as_of_date = daily_kpis.kpi_date
)

select * from weekly_kpis
