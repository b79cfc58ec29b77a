{{ config(
    materialized='incremental',
    incremental_strategy='replace_affected',
    unique_key=['feature_date', 'student_id', 'topic_id'],
    on_schema_change='fail',
    pre_hook=[
        "{{ begin_build([
            'int_inputs__sessions',
            'int_inputs__abilities',
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
{%- if not execute -%}
    {#- Only in an incremental build. -#}
    {%- do ref('stg_irt__topic_scorings') -%}
{%- endif -%}
{%- set short = days_setting('short_window_days') -%}
{%- set long = days_setting('long_window_days') -%}
{%- set days_read_before = [2 * short, long] | max - 1 -%}
{#- An estimate older than this counts on no day that is read. -#}
{%- set estimates_read_before = days_setting('ability_lookback_days') + short -%}
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

-- The items of the runs in force, by number: what is kept of every response until the
-- ability of its day is known.
items as materialized (
    select
        parametrized.item_id,
        cast(row_number() over () as integer) as item_number
    from (
        select distinct item_parameters.item_id
        from {{ ref('stg_irt__item_parameters') }} as item_parameters
        inner join {{ ref('int_runs__in_force') }} as int_runs__in_force
            on item_parameters.run_id = int_runs__in_force.run_id
    ) as parametrized
),

-- Under one key and grouped by it, so that the planner knows it to be unique: it would
-- sort every response otherwise.
parameters as materialized (
    select
        {{ parameter_key('int_runs__in_force.publication_id', 'items.item_number') }}
            as parameter_key,
        min(item_parameters.discrimination) as discrimination,
        min(item_parameters.difficulty) as difficulty,
        min(item_parameters.guessing) as guessing
    from {{ ref('int_runs__in_force') }} as int_runs__in_force
    inner join {{ ref('stg_irt__item_parameters') }} as item_parameters
        on int_runs__in_force.run_id = item_parameters.run_id
    inner join items on item_parameters.item_id = items.item_id
    group by
        {{ parameter_key('int_runs__in_force.publication_id', 'items.item_number') }}
),

attempts as (
    select
        students.student_id,
        students.first_date,
        topic_attempts.topic_id,
        topic_attempts.attempt_date,
        topic_attempts.is_correct,
        topic_attempts.response_time_ms,
        topic_attempts.hint_count,
        topic_attempts.answered_at,
        items.item_number
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
    {%- else -%}
    inner join {{ ref('fct_attempts') }} as topic_attempts
        on
            students.student_id = topic_attempts.student_id
            and topic_attempts.attempt_date <= {{ as_of_date() }}
    {%- endif %}
    left join items on topic_attempts.item_id = items.item_id
    where topic_attempts.topic_id is not null
),

topic_days as (
    select
        attempts.student_id,
        attempts.topic_id,
        attempts.attempt_date as feature_date,
        {{ days_between("date '2000-01-01'", 'attempts.attempt_date') }} as day_number,
        min(attempts.first_date) as first_date,
        cast(count(*) as integer) as attempt_count,
        cast(count(attempts.is_correct) as integer) as graded_count,
        cast(count(*) filter (where attempts.is_correct) as integer) as correct_count,
        cast(sum(attempts.response_time_ms) as double precision)
        / cast(nullif(count(attempts.response_time_ms), 0) as double precision)
            as average_time_ms,
        {{ median('attempts.response_time_ms') }} as median_time_ms,
        cast(sum(attempts.hint_count) as integer) as hint_count,
        max(attempts.answered_at) as last_seen_at,
        -- Items answered wrong as negative numbers.
        {{ array_of(
            'case when attempts.is_correct then 1 else -1 end * attempts.item_number',
            'attempts.is_correct is not null'
        ) }} as answered_items
    from attempts
    group by attempts.student_id, attempts.topic_id, attempts.attempt_date
),

topic_windows as materialized (
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
        int_runs__in_force.publication_id,
        int_runs__in_force.run_id
    from (
        select distinct topic_windows.feature_date from topic_windows
    ) as feature_dates
    left join {{ ref('int_runs__in_force') }} as int_runs__in_force
        on
            feature_dates.feature_date >= int_runs__in_force.valid_from
            and feature_dates.feature_date < int_runs__in_force.valid_to
),

{{ topic_ability_periods(estimates_read_before) }},

student_days as (
    select
        days.student_id,
        days.feature_date,
        dates.publication_id,
        dates.run_id,
        ability_periods.theta,
        ability_periods.standard_error
    from (
        select distinct
            topic_windows.student_id,
            topic_windows.feature_date
        from topic_windows
        where topic_windows.feature_date >= topic_windows.first_date
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

built_days as materialized (
    select
        topic_windows.*,
        student_days.publication_id,
        student_days.run_id,
        student_days.theta as overall_theta,
        student_days.standard_error as overall_standard_error
    from topic_windows
    inner join student_days
        on
            topic_windows.student_id = student_days.student_id
            and topic_windows.feature_date = student_days.feature_date
    where topic_windows.feature_date >= topic_windows.first_date
),

{{ topic_residuals(long) }},

-- The estimate of the topic that counts on the day, and the one that counted a short
-- window before. Both in one pass over the periods, of which there are many more.
day_abilities as (
    select
        built_days.topic_day_number,
        max(periods.theta) filter (where counts.on_day) as theta,
        max(periods.standard_error) filter (where counts.on_day) as standard_error,
        max(periods.valid_from) filter (where counts.on_day) as valid_from,
        max(periods.theta) filter (where counts.before) as previous_theta,
        max(periods.valid_from) filter (where counts.before) as previous_valid_from
    from topic_ability_periods as periods
    inner join built_days
        on
            periods.student_id = built_days.student_id
            and periods.topic_id = built_days.topic_id
            and periods.run_id = built_days.run_id
            and periods.valid_from <= built_days.feature_date
            and periods.valid_to > {{ add_days('built_days.feature_date', -short) }}
    cross join
        lateral (
            values
            (
                periods.valid_to > built_days.feature_date,
                periods.valid_from
                <= {{ add_days('built_days.feature_date', -short) }}
            )
        ) as counts (on_day, before)
    group by built_days.topic_day_number
),

improvements as (
    select
        built_days.*,
        day_abilities.theta as topic_theta,
        day_abilities.standard_error as topic_standard_error,
        (
            -- Beyond the short window an estimate tells nothing of recent days.
            day_abilities.valid_from > {{ add_days('built_days.feature_date', -short) }}
            and day_abilities.previous_valid_from
            > {{ add_days('built_days.feature_date', -2 * short) }}
            and built_days.graded_recent_short_count
            >= {{ var('improvement_theta_min_graded_attempts') }}
        ) is true as has_theta_basis,
        {{ improvement_index_theta(
            'day_abilities.theta',
            'day_abilities.previous_theta',
            'day_abilities.standard_error',
            'built_days.graded_recent_short_count'
        ) }} as improvement_theta,
        {{ improvement_index_accuracy(
            'cast(built_days.correct_recent_short_count as double precision)'
            ~ ' / nullif(built_days.graded_recent_short_count, 0)',
            'cast(built_days.correct_previous_short_count as double precision)'
            ~ ' / nullif(built_days.graded_previous_short_count, 0)',
            'built_days.graded_recent_short_count'
        ) }} as improvement_accuracy
    from built_days
    left join day_abilities
        on built_days.topic_day_number = day_abilities.topic_day_number
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
