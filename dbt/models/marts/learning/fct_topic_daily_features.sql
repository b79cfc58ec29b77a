{{ config(
    materialized='incremental',
    incremental_strategy='replace_affected',
    unique_key=['feature_date', 'student_id', 'topic_id'],
    on_schema_change='fail',
    pre_hook=[
        "{{ begin_build([
            'int_inputs__sessions',
            'int_inputs__abilities',
            'int_inputs__topic_abilities',
            'int_inputs__publications',
        ]) }}",
        "{{ avoid_nested_loops() }}",
    ],
    post_hook="{{ end_build() }}",
    meta={
        'affected': 'student_days',
        'date_column': 'feature_date',
        'student_column': 'student_id',
        'settings': [
            'short_window_days', 'long_window_days', 'ability_lookback_days',
            'improvement_full_weight_attempts', 'improvement_theta_min_graded_attempts',
            'improvement_uncertainty_cap', 'topic_min_responses',
        ],
    },
    indexes=[
        {'columns': ['feature_date', 'student_id', 'topic_id'], 'unique': true},
        {'columns': ['student_id', 'feature_date']},
    ]
) }}

{#- Attempts without a topic belong to no row. A row of day D needs the attempts of the
    two short windows and of the long one before D, so that a student who is rebuilt
    from day F is read from the longer of these before F. -#}
{%- set short = days_setting('short_window_days') -%}
{%- set long = days_setting('long_window_days') -%}
{%- set days_read_before = [2 * short, long] | max - 1 -%}
{%- set first_new_date = add_days(previous_as_of_date(), 1) -%}

with affected_students as (
    select
        affected.student_id,
        least(affected.from_date, {{ first_new_date }}) as first_date
    from {{ affected_students() }} as affected
),

students as (
    select * from affected_students
    {% if is_incremental() %}
    union all
    select distinct
        fct_attempts.student_id,
        {{ first_new_date }} as first_date
    from {{ ref('fct_attempts') }} as fct_attempts
    where
        fct_attempts.attempt_date between {{ first_new_date }} and {{ as_of_date() }}
        and not exists (
            select 1
            from affected_students
            where affected_students.student_id = fct_attempts.student_id
        )
    {% endif %}
),

attempts as (
    select
        students.student_id,
        students.first_date,
        topic_attempts.topic_id,
        topic_attempts.item_id,
        topic_attempts.attempt_date,
        topic_attempts.is_correct,
        topic_attempts.response_time_ms,
        topic_attempts.hint_count,
        topic_attempts.answered_at,
        {{ days_between("date '2000-01-01'", 'topic_attempts.attempt_date') }}
            as day_number
    from students
    {% if is_incremental() -%}
    -- The barrier makes this one index look-up per student.
    cross join
        lateral (
            select fct_attempts.*
            from {{ ref('fct_attempts') }} as fct_attempts
            where
                fct_attempts.student_id = students.student_id
                and fct_attempts.attempt_date
                >= {{ add_days('students.first_date', -days_read_before) }}
                and fct_attempts.attempt_date <= {{ as_of_date() }}
            offset 0
        ) as topic_attempts
    where topic_attempts.topic_id is not null
    {%- else -%}
    inner join {{ ref('fct_attempts') }} as topic_attempts
        on students.student_id = topic_attempts.student_id
    where
        topic_attempts.topic_id is not null
        and topic_attempts.attempt_date <= {{ as_of_date() }}
    {%- endif %}
),

topic_days as (
    select
        attempts.student_id,
        attempts.topic_id,
        attempts.attempt_date as feature_date,
        attempts.day_number,
        attempts.first_date,
        cast(count(*) as integer) as attempt_count,
        cast(count(attempts.is_correct) as integer) as graded_count,
        cast(count(*) filter (where attempts.is_correct) as integer) as correct_count,
        cast(sum(attempts.response_time_ms) as double precision)
        / cast(nullif(count(attempts.response_time_ms), 0) as double precision)
            as average_time_ms,
        {{ median('attempts.response_time_ms') }} as median_time_ms,
        cast(sum(attempts.hint_count) as integer) as hint_count,
        max(attempts.answered_at) as last_seen_at
    from attempts
    group by
        attempts.student_id,
        attempts.topic_id,
        attempts.attempt_date,
        attempts.day_number,
        attempts.first_date
),

topic_windows as (
    select
        topic_days.*,
        row_number() over () as topic_day_number,
        cast(coalesce(sum(topic_days.graded_count) over recent, 0) as integer)
            as graded_recent_short_count,
        cast(coalesce(sum(topic_days.correct_count) over recent, 0) as integer)
            as correct_recent_short_count,
        cast(coalesce(sum(topic_days.graded_count) over previous, 0) as integer)
            as graded_previous_short_count,
        cast(coalesce(sum(topic_days.correct_count) over previous, 0) as integer)
            as correct_previous_short_count
    from topic_days
    window
        recent as (
            partition by topic_days.student_id, topic_days.topic_id
            order by topic_days.day_number
            range between {{ short - 1 }} preceding and current row
        ),
        previous as (
            partition by topic_days.student_id, topic_days.topic_id
            order by topic_days.day_number
            range between {{ 2 * short - 1 }} preceding and {{ short }} preceding
        )
),

dates as (
    select
        feature_dates.feature_date,
        int_runs__in_force.run_id
    from (select distinct topic_days.feature_date from topic_days) as feature_dates
    left join {{ ref('int_runs__in_force') }} as int_runs__in_force
        on
            feature_dates.feature_date >= int_runs__in_force.valid_from
            and feature_dates.feature_date < int_runs__in_force.valid_to
),

abilities as (
    select stg_irt__abilities.*
    from {{ ref('stg_irt__abilities') }} as stg_irt__abilities
    where {{ is_student_of('stg_irt__abilities.student_id', 'students') }}
),

ability_periods as (
    {{ ability_periods('abilities', ['student_id'], 'ability_id') }}
),

topic_abilities as (
    select stg_irt__topic_abilities.*
    from {{ ref('stg_irt__topic_abilities') }} as stg_irt__topic_abilities
    where
        stg_irt__topic_abilities.response_count >= {{ var('topic_min_responses') }}
        and {{ is_student_of('stg_irt__topic_abilities.student_id', 'students') }}
),

topic_ability_periods as (
    {{ ability_periods(
        'topic_abilities', ['student_id', 'topic_id'], 'topic_ability_id'
    ) }}
),

student_days as (
    select
        days.student_id,
        days.feature_date,
        days.day_number,
        dates.run_id,
        ability_periods.theta,
        ability_periods.standard_error
    from (
        select distinct
            topic_days.student_id,
            topic_days.feature_date,
            topic_days.day_number
        from topic_days
        where topic_days.feature_date >= topic_days.first_date
    ) as days
    inner join dates
        on days.feature_date = dates.feature_date
    left join ability_periods
        on
            days.student_id = ability_periods.student_id
            and dates.run_id = ability_periods.run_id
            and days.feature_date >= ability_periods.valid_from
            and days.feature_date < ability_periods.valid_to
),

-- A long window touches two buckets of its own length, and an equality on buckets
-- keeps the join linear in a student's history.
topic_day_buckets as materialized (
    select
        topic_windows.topic_day_number,
        topic_windows.student_id,
        topic_windows.topic_id,
        topic_windows.day_number,
        student_days.run_id,
        student_days.theta,
        topic_windows.day_number / {{ long }} - back.buckets as bucket
    from topic_windows
    inner join student_days
        on
            topic_windows.student_id = student_days.student_id
            and topic_windows.feature_date = student_days.feature_date
    cross join (values (0), (1)) as back (buckets)
    where student_days.theta is not null
),

-- Materialized in this order: the planner takes a run for one of many, and would join
-- every day with every item of its run first.
recent_responses as materialized (
    select
        topic_day_buckets.topic_day_number,
        topic_day_buckets.run_id,
        topic_day_buckets.theta,
        attempts.item_id,
        attempts.is_correct
    from topic_day_buckets
    inner join attempts
        on
            topic_day_buckets.student_id = attempts.student_id
            and topic_day_buckets.topic_id = attempts.topic_id
            and topic_day_buckets.bucket = attempts.day_number / {{ long }}
            and topic_day_buckets.day_number >= attempts.day_number
            and topic_day_buckets.day_number < attempts.day_number + {{ long }}
    where attempts.is_correct is not null
),

expected_responses as (
    select
        recent_responses.topic_day_number,
        recent_responses.is_correct,
        {{ response_probability(
            'recent_responses.theta',
            'item_parameters.discrimination',
            'item_parameters.difficulty',
            'item_parameters.guessing'
        ) }} as probability
    from recent_responses
    inner join {{ ref('stg_irt__item_parameters') }} as item_parameters
        on
            recent_responses.run_id = item_parameters.run_id
            and recent_responses.item_id = item_parameters.item_id
    -- The probability is used thrice and computed once: the planner does not look
    -- through an offset.
    offset 0
),

residuals as (
    select
        expected_responses.topic_day_number,
        cast(count(*) as integer) as residual_attempt_count,
        cast(count(*) filter (where expected_responses.is_correct) as double precision)
        - sum(expected_responses.probability) as observed_minus_expected,
        sqrt(
            sum(expected_responses.probability * (1 - expected_responses.probability))
        ) as observed_minus_expected_se
    from expected_responses
    group by expected_responses.topic_day_number
),

improvements as (
    select
        topic_windows.*,
        student_days.run_id,
        student_days.theta as overall_theta,
        student_days.standard_error as overall_standard_error,
        latest.theta as topic_theta,
        latest.standard_error as topic_standard_error,
        (
            -- Beyond the short window an estimate tells nothing of recent days.
            latest.valid_from > {{ add_days('topic_windows.feature_date', -short) }}
            and previous.valid_from
            > {{ add_days('topic_windows.feature_date', -2 * short) }}
            and topic_windows.graded_recent_short_count
            >= {{ var('improvement_theta_min_graded_attempts') }}
        ) is true as has_theta_basis,
        {{ improvement_index_theta(
            'latest.theta',
            'previous.theta',
            'latest.standard_error',
            'topic_windows.graded_recent_short_count'
        ) }} as improvement_theta,
        {{ improvement_index_accuracy(
            'cast(topic_windows.correct_recent_short_count as double precision)'
            ~ ' / nullif(topic_windows.graded_recent_short_count, 0)',
            'cast(topic_windows.correct_previous_short_count as double precision)'
            ~ ' / nullif(topic_windows.graded_previous_short_count, 0)',
            'topic_windows.graded_recent_short_count'
        ) }} as improvement_accuracy
    from topic_windows
    inner join student_days
        on
            topic_windows.student_id = student_days.student_id
            and topic_windows.feature_date = student_days.feature_date
    left join topic_ability_periods as latest
        on
            topic_windows.student_id = latest.student_id
            and topic_windows.topic_id = latest.topic_id
            and student_days.run_id = latest.run_id
            and topic_windows.feature_date >= latest.valid_from
            and topic_windows.feature_date < latest.valid_to
    left join topic_ability_periods as previous
        on
            topic_windows.student_id = previous.student_id
            and topic_windows.topic_id = previous.topic_id
            and student_days.run_id = previous.run_id
            and {{ add_days('topic_windows.feature_date', -short) }}
            >= previous.valid_from
            and {{ add_days('topic_windows.feature_date', -short) }} < previous.valid_to
    where topic_windows.feature_date >= topic_windows.first_date
),

features as (
    select
        improvements.student_id,
        improvements.topic_id,
        improvements.feature_date,
        improvements.attempt_count,
        improvements.graded_count,
        improvements.correct_count,
        cast(improvements.correct_count as double precision)
        / nullif(improvements.graded_count, 0)
            as accuracy,
        improvements.average_time_ms,
        improvements.median_time_ms,
        improvements.hint_count,
        coalesce(improvements.topic_theta, improvements.overall_theta)
            as theta_estimate,
        case
            when improvements.topic_theta is not null
                then improvements.topic_standard_error
            else improvements.overall_standard_error
        end as theta_sd,
        case
            when improvements.topic_theta is not null then 'topic'
            when improvements.overall_theta is not null then 'overall'
        end as theta_basis,
        case
            when improvements.has_theta_basis then improvements.improvement_theta
            else improvements.improvement_accuracy
        end as improvement,
        case
            when improvements.has_theta_basis then 'theta'
            when improvements.improvement_accuracy is not null then 'accuracy'
        end as improvement_basis,
        improvements.graded_recent_short_count,
        improvements.graded_previous_short_count,
        coalesce(residuals.residual_attempt_count, 0) as residual_attempt_count,
        residuals.observed_minus_expected,
        residuals.observed_minus_expected_se,
        case
            when
                residuals.observed_minus_expected
                > 1.96 * residuals.observed_minus_expected_se
                then 'strong'
            when
                residuals.observed_minus_expected
                < -1.96 * residuals.observed_minus_expected_se
                then 'weak'
        end as strength,
        improvements.last_seen_at,
        improvements.run_id,
        current_timestamp as built_at
    from improvements
    left join residuals
        on improvements.topic_day_number = residuals.topic_day_number
)

select * from features
