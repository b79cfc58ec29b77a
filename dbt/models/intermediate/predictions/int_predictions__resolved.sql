{{ config(
    materialized='incremental',
    incremental_strategy='replace_affected',
    unique_key=['prediction', 'resolved_on', 'student_id'],
    on_schema_change='fail',
    pre_hook="{{ begin_build(['int_inputs__weekly_predictions', 'int_inputs__sessions']) }}",
    post_hook="{{ end_build() }}",
    meta={
        'affected': 'student_days',
        'date_column': 'resolved_on',
        'settings': [
            'backtest_active_days', 'backtest_churn_outcome_days',
            'backtest_goal_outcome_days', 'backtest_goal_min_responses',
        ],
    },
    indexes=[{'columns': ['resolved_on', 'prediction', 'student_id'], 'unique': true}]
) }}

{#- A change on a day can touch the predictions that are resolved on that day or later,
    whether it moves the prediction (made on that day or later) or its outcome (a window
    that ends on that day or later). So resolved_on is the day that is replaced. -#}
{%- set active_days = days_setting('backtest_active_days') -%}
{%- set churn_days = days_setting('backtest_churn_outcome_days') -%}
{%- set goal_days = days_setting('backtest_goal_outcome_days') -%}
{%- set first_new_date = add_days(previous_as_of_date(), 1) -%}

with affected_students as (
    select
        affected.student_id,
        affected.from_date
    from {{ affected_students() }} as affected
),

cutoffs as (
    select
        kpis.student_id,
        kpis.kpi_date as cutoff_date,
        kpis.churn_risk,
        kpis.days_since_last_activity,
        kpis.goal_probability,
        kpis.goal_topic_id,
        kpis.goal_target_theta,
        kpis.run_id,
        -- Null only in a full build, for a student whom no input names: no row then.
        least(affected_students.from_date, {{ first_new_date }}) as first_resolved_on
    from {{ ref('fct_student_daily_kpis') }} as kpis
    left join affected_students
        on kpis.student_id = affected_students.student_id
    where
        kpis.kpi_date = {{ week_end('kpis.kpi_date') }}
        and {{ add_days('kpis.kpi_date', [churn_days, goal_days] | min) }}
        <= {{ as_of_date() }}
),

churn_predictions as (
    select
        cutoffs.student_id,
        cutoffs.cutoff_date,
        {{ add_days('cutoffs.cutoff_date', churn_days) }} as resolved_on,
        cutoffs.churn_risk as probability
    from cutoffs
    where
        cutoffs.days_since_last_activity < {{ active_days }}
        and {{ add_days('cutoffs.cutoff_date', churn_days) }}
        between cutoffs.first_resolved_on and {{ as_of_date() }}
),

churn_outcomes as (
    select
        churn_predictions.*,
        not exists (
            select 1
            from {{ ref('fct_sessions') }} as fct_sessions
            where
                fct_sessions.student_id = churn_predictions.student_id
                and fct_sessions.session_date > churn_predictions.cutoff_date
                and fct_sessions.session_date <= churn_predictions.resolved_on
        )
        and not exists (
            select 1
            from {{ ref('fct_attempts') }} as fct_attempts
            where
                fct_attempts.student_id = churn_predictions.student_id
                and fct_attempts.attempt_date > churn_predictions.cutoff_date
                and fct_attempts.attempt_date <= churn_predictions.resolved_on
        ) as has_come_true
    from churn_predictions
),

-- Below target on the cut-off: otherwise there is nothing left to be met.
goal_predictions as (
    select
        cutoffs.student_id,
        cutoffs.cutoff_date,
        {{ add_days('cutoffs.cutoff_date', goal_days) }} as resolved_on,
        cutoffs.goal_probability as probability,
        cutoffs.goal_topic_id,
        cutoffs.goal_target_theta,
        cutoffs.run_id
    from cutoffs
    where
        cutoffs.goal_probability < 0.5
        and {{ add_days('cutoffs.cutoff_date', goal_days) }}
        between cutoffs.first_resolved_on and {{ as_of_date() }}
),

later_responses as (
    select
        goal_predictions.student_id,
        goal_predictions.cutoff_date,
        goal_predictions.resolved_on,
        goal_predictions.probability,
        {{ response_score(
            'attempts.is_correct',
            'goal_predictions.goal_target_theta',
            'item_parameters.discrimination',
            'item_parameters.difficulty',
            'item_parameters.guessing'
        ) }} as score
    from goal_predictions
    inner join {{ ref('fct_attempts') }} as attempts
        on
            goal_predictions.student_id = attempts.student_id
            and goal_predictions.cutoff_date < attempts.attempt_date
            and goal_predictions.resolved_on >= attempts.attempt_date
            and (
                goal_predictions.goal_topic_id is null
                or goal_predictions.goal_topic_id = attempts.topic_id
            )
    inner join {{ ref('stg_irt__item_parameters') }} as item_parameters
        on
            goal_predictions.run_id = item_parameters.run_id
            and attempts.item_id = item_parameters.item_id
    where attempts.is_first_graded
),

-- The likelihood rises at the target exactly when its maximum lies beyond: the estimate
-- from these responses alone, with no prior, is then at or above the target.
goal_outcomes as (
    select
        later_responses.student_id,
        later_responses.cutoff_date,
        later_responses.resolved_on,
        later_responses.probability,
        sum(later_responses.score) >= 0 as has_come_true
    from later_responses
    group by
        later_responses.student_id,
        later_responses.cutoff_date,
        later_responses.resolved_on,
        later_responses.probability
    having count(*) >= {{ var('backtest_goal_min_responses') }}
),

resolved as (
    select
        'churn_risk' as prediction,
        churn_outcomes.student_id,
        churn_outcomes.cutoff_date,
        churn_outcomes.resolved_on,
        churn_outcomes.probability,
        churn_outcomes.has_come_true
    from churn_outcomes
    union all
    select
        'goal_probability' as prediction,
        goal_outcomes.student_id,
        goal_outcomes.cutoff_date,
        goal_outcomes.resolved_on,
        goal_outcomes.probability,
        goal_outcomes.has_come_true
    from goal_outcomes
)

select
    resolved.prediction,
    resolved.student_id,
    resolved.cutoff_date,
    resolved.resolved_on,
    -- Decimals, so that equal predictions stay equal: ranks and bins depend on it.
    cast(round(cast(resolved.probability as numeric), 12) as numeric(13, 12))
        as probability,
    resolved.has_come_true
from resolved
