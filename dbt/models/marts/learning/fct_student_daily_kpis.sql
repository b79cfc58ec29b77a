{{ config(
    materialized='incremental',
    incremental_strategy='replace_affected',
    unique_key=['kpi_date', 'student_id'],
    on_schema_change='fail',
    pre_hook="{{ begin_build(['int_inputs__activity', 'int_inputs__abilities', 'int_inputs__publications', 'int_inputs__open_goals', 'int_inputs__goal_topic_abilities']) }}",
    post_hook="{{ end_build() }}",
    meta={'affected': 'student_days', 'date_column': 'kpi_date'},
    indexes=[
        {'columns': ['kpi_date', 'student_id'], 'unique': true},
        {'columns': ['student_id']},
    ]
) }}

{%- set short = days_setting('short_window_days') -%}
{%- set first_new_day = add_days(previous_as_of_date(), 1) -%}
{%- set day_after = add_days(as_of_date(), 1) %}

with affected as (
    select
        affected_students.student_id,
        affected_students.from_date
    from {{ affected_students() }} as affected_students
),

runs as (
    select
        int_runs__in_force.run_id,
        int_runs__in_force.valid_from,
        int_runs__in_force.valid_to
    from {{ ref('int_runs__in_force') }} as int_runs__in_force
    -- A night needs the runs of its days alone, of all that were ever in force.
    where
        int_runs__in_force.valid_to
        > (
            select {{ built_from('min(affected.from_date)', first_new_day, day_after) }}
            from affected
        )
),

-- The days to build: those of changed students from their first affected day, and the
-- days after the last build of everybody. valid_to is exclusive.
scoped_activity as (
    select
        activity.*,
        {{ built_from('affected.from_date', first_new_day, day_after) }} as built_from
    from {{ ref('int_activity__windowed') }} as activity
    left join affected on activity.student_id = affected.student_id
),

activity as materialized (
    select
        scoped_activity.*,
        greatest(scoped_activity.valid_from, scoped_activity.built_from) as starts_on,
        least(scoped_activity.valid_to, {{ day_after }}) as ends_before,
        row_number() over () as activity_number
    from scoped_activity
    where
        scoped_activity.valid_from < {{ day_after }}
        and scoped_activity.valid_to > scoped_activity.built_from
),

students as (
    select
        activity.student_id,
        activity.built_from
    from activity
    group by activity.student_id, activity.built_from
),

first_built as (
    select min(students.built_from) as built_from
    from students
),

{{ ability_estimate_periods(short, day_after) }},

{{ goal_periods() }},

{{ states_of_periods(
    {
        'activity': ['activity_number'],
        'estimate_periods': ['ability_id', 'is_recent', 'previous_ability_id'],
        'primary_goals': ['goal_number'],
        'goal_topic_abilities': ['topic_ability_number'],
    },
    day_after
) }},

evidence as (
    select
        states.student_id,
        states.starts_on,
        states.ends_before,
        activity.last_activity_date,
        activity.attempt_count_recent,
        activity.graded_recent_short_count,
        activity.graded_previous_short_count,
        cast(activity.correct_recent_short_count as double precision)
        / nullif(activity.graded_recent_short_count, 0) as accuracy_recent,
        cast(activity.correct_previous_short_count as double precision)
        / nullif(activity.graded_previous_short_count, 0) as accuracy_previous,
        activity.timed_correct_recent_count,
        activity.timed_correct_previous_count,
        case
            when activity.timed_correct_recent_count > 0
                then activity.median_time_recent_half_ms / 2
        end as median_time_recent_ms,
        case
            when activity.timed_correct_previous_count > 0
                then activity.median_time_previous_half_ms / 2
        end as median_time_previous_ms,
        activity.wrong_previous_count,
        activity.recovery_attempt_count,
        cast(activity.recovery_correct_count as double precision)
        / nullif(activity.recovery_attempt_count, 0) as recovery_rate,
        activity.session_count_recent,
        activity.session_count_churn,
        case
            when activity.session_count_recent > 1
                then
                    activity.session_span_recent_us / 86400000000
                    / (activity.session_count_recent - 1)
        end as session_gap_days,
        case
            when activity.session_count_churn > 1
                then
                    activity.session_span_churn_us / 86400000000
                    / (activity.session_count_churn - 1)
        end as session_gap_churn_days,
        cast(activity.hint_sum as double precision)
        / nullif(activity.hint_attempt_count, 0) as mean_hint_count,
        activity.session_us / 1000000
        / nullif(activity.timed_session_count, 0) as mean_session_seconds,
        abilities.theta,
        abilities.standard_error,
        abilities.effective_at as theta_effective_at,
        abilities.run_id,
        case when states.is_recent = 1 then abilities.theta end as theta_recent,
        case
            when states.is_recent = 1 then abilities.standard_error
        end as standard_error_recent,
        previous_abilities.theta as theta_previous,
        previous_abilities.standard_error as standard_error_previous,
        primary_goals.goal_number is null as is_default_goal,
        primary_goals.topic_id as goal_topic_id,
        primary_goals.target_date as goal_target_date,
        coalesce(
            primary_goals.target_theta,
            cast({{ var('default_goal_theta') }} as double precision)
        ) as goal_target_theta,
        goal_topic_abilities.topic_ability_number is not null as has_topic_ability,
        case
            when goal_topic_abilities.topic_ability_number is null then abilities.theta
            else goal_topic_abilities.theta
        end as goal_theta,
        case
            when goal_topic_abilities.topic_ability_number is null
                then abilities.standard_error
            else goal_topic_abilities.standard_error
        end as goal_standard_error
    from states
    inner join activity on states.activity_number = activity.activity_number
    left join estimates as abilities on states.ability_id = abilities.ability_id
    left join estimates as previous_abilities
        on states.previous_ability_id = previous_abilities.ability_id
    left join primary_goals on states.goal_number = primary_goals.goal_number
    left join goal_topic_abilities
        on states.topic_ability_number = goal_topic_abilities.topic_ability_number
),

measured as (
    select
        evidence.*,
        evidence.theta_recent - evidence.theta_previous as theta_difference,
        sqrt(
            evidence.standard_error_recent * evidence.standard_error_recent
            + evidence.standard_error_previous * evidence.standard_error_previous
        ) as theta_difference_standard_error,
        evidence.theta_recent is not null
        and evidence.theta_previous is not null
        and evidence.graded_recent_short_count
        >= {{ var('improvement_theta_min_graded_attempts') }} as is_on_theta_basis,
        {{ improvement_index_theta(
            'evidence.theta_recent', 'evidence.theta_previous',
            'evidence.standard_error_recent', 'evidence.graded_recent_short_count'
        ) }} as improvement_on_theta,
        {{ improvement_index_accuracy(
            'evidence.accuracy_recent', 'evidence.accuracy_previous',
            'evidence.graded_recent_short_count'
        ) }} as improvement_on_accuracy,
        {{ time_efficiency(
            'evidence.median_time_previous_ms', 'evidence.median_time_recent_ms'
        ) }} as time_efficiency,
        {{ engagement(
            'evidence.session_count_recent', 'evidence.session_gap_days',
            'evidence.mean_hint_count', 'evidence.mean_session_seconds'
        ) }} as engagement,
        {{ goal_probability(
            'evidence.goal_theta', 'evidence.goal_standard_error',
            'evidence.goal_target_theta'
        ) }} as goal_probability
    from evidence
    -- Formulas are worth computing once a period, not once a day: the planner does not
    -- look through an offset.
    offset 0
),

days as (
    select
        measured.*,
        kpi_days.kpi_date,
        {{ days_between('measured.last_activity_date', 'kpi_days.kpi_date') }}
            as days_since_last_activity
    from measured
    cross join {{ days_series(
        'measured.starts_on', add_days('measured.ends_before', -1), 'kpi_days', 'kpi_date'
    ) }}
)

select
    days.student_id,
    days.kpi_date,
    case
        when days.is_on_theta_basis then days.improvement_on_theta
        else days.improvement_on_accuracy
    end as improvement_index,
    case
        when days.is_on_theta_basis then 'theta'
        when days.improvement_on_accuracy is not null then 'accuracy'
    end as improvement_basis,
    case
        when days.is_on_theta_basis then null
        when days.graded_recent_short_count = 0 then 'no_graded_recent'
        when days.graded_previous_short_count = 0 then 'no_graded_previous'
    end as improvement_null_reason,
    days.theta_difference,
    days.theta_difference_standard_error,
    days.graded_recent_short_count,
    days.graded_previous_short_count,
    days.accuracy_recent,
    days.accuracy_previous,
    days.time_efficiency,
    case
        when days.timed_correct_recent_count = 0 then 'no_recent_times'
        when days.timed_correct_previous_count = 0 then 'no_previous_times'
        when days.median_time_previous_ms = 0 then 'zero_previous_median'
    end as time_efficiency_null_reason,
    days.median_time_recent_ms,
    days.median_time_previous_ms,
    days.recovery_rate,
    case
        when days.wrong_previous_count = 0 then 'nothing_wrong_previous'
        when days.recovery_attempt_count = 0 then 'no_retry_recent'
    end as recovery_null_reason,
    days.recovery_attempt_count,
    days.engagement,
    case
        when days.session_count_recent = 0 then 'no_recent_session'
    end as engagement_null_reason,
    days.session_count_recent,
    days.session_gap_days,
    days.mean_hint_count,
    days.mean_session_seconds,
    days.goal_probability,
    case
        when days.goal_probability is null then 'no_ability_estimate'
    end as goal_null_reason,
    case
        when days.goal_probability is null then null
        when days.has_topic_ability then 'topic'
        else 'overall'
    end as goal_basis,
    days.is_default_goal,
    days.goal_topic_id,
    days.goal_target_theta,
    days.goal_target_date,
    {{ churn_risk(
        'days.days_since_last_activity', 'days.session_gap_churn_days',
        'days.session_count_churn'
    ) }} as churn_risk,
    days.days_since_last_activity,
    days.session_count_churn,
    days.session_gap_churn_days,
    days.last_activity_date,
    days.theta,
    days.standard_error,
    days.theta_effective_at,
    days.run_id,
    days.attempt_count_recent,
    current_timestamp as built_at
from days
