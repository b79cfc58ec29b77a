{#- What the daily KPIs hold on the cut-offs, and not what they were built from: they
    are what is measured. -#}
with predictions as (
    select
        fct_student_daily_kpis.student_id,
        fct_student_daily_kpis.kpi_date,
        {{ row_hash([
            'fct_student_daily_kpis.churn_risk',
            'fct_student_daily_kpis.days_since_last_activity',
            'fct_student_daily_kpis.goal_probability',
            'fct_student_daily_kpis.goal_topic_id',
            'fct_student_daily_kpis.goal_target_theta',
            'fct_student_daily_kpis.run_id',
        ]) }} as content_hash
    from {{ ref('fct_student_daily_kpis') }}
    where
        fct_student_daily_kpis.kpi_date
        = {{ week_end('fct_student_daily_kpis.kpi_date') }}
),

inputs as (
    select
        predictions.kpi_date || ' ' || predictions.student_id as input_key,
        cast(predictions.content_hash as text) as version,
        predictions.student_id,
        predictions.kpi_date as from_date
    from predictions
)

select * from inputs
