{{ config(
    materialized='incremental',
    incremental_strategy='replace_affected',
    unique_key=['student_id', 'valid_from'],
    on_schema_change='fail',
    pre_hook="{{ begin_build(['int_inputs__sessions']) }}",
    post_hook="{{ end_build() }}",
    meta={
        'affected': 'student_periods',
        'key_columns': ['student_id'],
        'from_column': 'valid_from',
        'settings': [
            'short_window_days', 'long_window_days', 'churn_window_days',
            'population_window_days',
        ],
    },
    indexes=[{'columns': ['student_id']}]
) }}

{#- Every window is a sum of changes: an attempt of day d enters a window [D - b, D - a]
    on d + a and leaves it on d + b + 1. Changes are whole numbers, so that their running
    sums are exact in any order, and that a build goes on from the sums of the period
    before the first change (affected.from_date) instead of adding everything up anew. -#}
{%- set short = days_setting('short_window_days') -%}
{%- set long = days_setting('long_window_days') -%}
{%- set churn = days_setting('churn_window_days') -%}
{%- set population = days_setting('population_window_days') -%}
{%- set counts = [
    'attempt_count_population', 'attempt_count_recent',
    'graded_recent_short_count', 'correct_recent_short_count',
    'graded_previous_short_count', 'correct_previous_short_count',
    'wrong_previous_count', 'hint_sum', 'hint_attempt_count',
    'recovery_attempt_count', 'recovery_correct_count',
    'timed_correct_recent_count', 'timed_correct_previous_count',
    'session_count_recent', 'session_count_churn', 'timed_session_count',
] -%}
{%- set measures = [
    'median_time_recent_half_ms', 'median_time_previous_half_ms',
    'session_span_recent_us', 'session_span_churn_us', 'session_us',
] -%}

{#- How long what happened can still change a sum. -#}
{%- set reach = [population, 2 * short, 2 * long, churn] | max -%}
{%- set is_in_reach = 'attempts.attempt_date > attempts.from_date - ' -%}
{%- set can_be_recent = is_in_reach ~ long if is_incremental() else 'true' -%}
{%- set can_be_previous = is_in_reach ~ 2 * long if is_incremental() else 'true' -%}

with

{% if is_incremental() %}

affected as (
    select
        student_id,
        from_date
    from {{ affected_students() }}
),

{% endif %}

attempts as (
    select
        fct_attempts.student_id,
        fct_attempts.item_id,
        fct_attempts.attempt_date,
        fct_attempts.attempt_no,
        fct_attempts.is_correct,
        fct_attempts.response_time_ms,
        fct_attempts.hint_count,
        {{ 'affected.from_date' if is_incremental() else 'cast(null as date)' }}
            as from_date
    from {{ ref('fct_attempts') }} as fct_attempts
    {% if is_incremental() %}
    inner join affected
        on
            fct_attempts.student_id = affected.student_id
            and fct_attempts.attempt_date > affected.from_date - {{ reach }}
    {% endif %}
),

sessions_in_order as (
    select
        fct_sessions.student_id,
        fct_sessions.session_date,
        fct_sessions.started_at,
        -- A session left open counts at most a year, which keeps the sums exact.
        round(1000000 * {{ clamp('fct_sessions.duration_seconds', 0, 31536000) }})
            as duration_us,
        lag(fct_sessions.session_date) over by_start as previous_session_date,
        round(
            1000000 * {{ seconds_between(
                'lag(fct_sessions.started_at) over by_start', 'fct_sessions.started_at'
            ) }}
        ) as gap_us
    from {{ ref('fct_sessions') }} as fct_sessions
    {% if is_incremental() %}
    -- And those that can be the predecessor of such a session.
    inner join affected
        on
            fct_sessions.student_id = affected.student_id
            and fct_sessions.session_date > affected.from_date - {{ 2 * reach }}
    {% endif %}
    window by_start as (
        -- Sessions that start together have a gap of 0 in either order.
        partition by fct_sessions.student_id
        order by fct_sessions.started_at, fct_sessions.session_id
    )
),

-- Until when a session has its predecessor in the window, where it ever has.
sessions as (
    select
        sessions_in_order.student_id,
        sessions_in_order.session_date,
        sessions_in_order.duration_us,
        sessions_in_order.gap_us,
        case
            when
                sessions_in_order.previous_session_date + {{ long }}
                > sessions_in_order.session_date
                then sessions_in_order.previous_session_date + {{ long }}
        end as recent_until,
        case
            when
                sessions_in_order.previous_session_date + {{ churn }}
                > sessions_in_order.session_date
                then sessions_in_order.previous_session_date + {{ churn }}
        end as churn_until
    from sessions_in_order
),

attempt_days as (
    select
        attempts.student_id,
        attempts.attempt_date,
        cast(count(*) as integer) as attempt_count,
        cast(count(attempts.is_correct) as integer) as graded_count,
        cast(count(*) filter (where attempts.is_correct) as integer) as correct_count,
        cast(count(*) filter (where not attempts.is_correct) as integer) as wrong_count,
        cast(
            count(attempts.response_time_ms) filter (where attempts.is_correct)
            as integer
        ) as timed_correct_count,
        cast(coalesce(sum(attempts.hint_count), 0) as integer) as hint_sum,
        cast(count(attempts.hint_count) as integer) as hint_attempt_count
    from attempts
    group by attempts.student_id, attempts.attempt_date
),

attempt_changes as (
    select
        attempt_days.student_id,
        attempt_days.attempt_date + effect.after_days as changed_on,
        attempt_days.attempt_date as last_activity_date,
        effect.in_population * attempt_days.attempt_count as attempt_count_population,
        effect.in_recent * attempt_days.attempt_count as attempt_count_recent,
        effect.in_recent_short * attempt_days.graded_count as graded_recent_short_count,
        effect.in_recent_short * attempt_days.correct_count
            as correct_recent_short_count,
        effect.in_previous_short * attempt_days.graded_count
            as graded_previous_short_count,
        effect.in_previous_short * attempt_days.correct_count
            as correct_previous_short_count,
        effect.in_previous * attempt_days.wrong_count as wrong_previous_count,
        effect.in_recent * attempt_days.hint_sum as hint_sum,
        effect.in_recent * attempt_days.hint_attempt_count as hint_attempt_count
    from attempt_days
    cross join (
        values
        (0, 1, 1, 1, 0, 0),
        ({{ short }}, 0, 0, -1, 1, 0),
        ({{ 2 * short }}, 0, 0, 0, -1, 0),
        ({{ long }}, 0, -1, 0, 0, 1),
        ({{ 2 * long }}, 0, 0, 0, 0, -1),
        ({{ population }}, -1, 0, 0, 0, 0)
    ) as effect (
        after_days, in_population, in_recent, in_recent_short, in_previous_short,
        in_previous
    )
),

-- From the first to the last session start of a window lie the gaps of the sessions
-- that have their predecessor in the window, too.
session_changes as (
    select
        sessions.student_id,
        change.changed_on,
        sessions.session_date as last_activity_date,
        change.session_count_recent,
        change.session_count_churn,
        change.timed_session_count,
        change.session_us,
        change.session_span_recent_us,
        change.session_span_churn_us
    from sessions
    cross join
        lateral (
            values
            (
                sessions.session_date,
                1,
                1,
                cast(sessions.duration_us is not null as integer),
                coalesce(sessions.duration_us, 0),
                case when sessions.recent_until is null then 0 else sessions.gap_us end,
                case when sessions.churn_until is null then 0 else sessions.gap_us end
            ),
            (
                sessions.session_date + {{ long }},
                -1,
                0,
                -cast(sessions.duration_us is not null as integer),
                -coalesce(sessions.duration_us, 0),
                0,
                0
            ),
            (sessions.session_date + {{ churn }}, 0, -1, 0, 0, 0, 0),
            (sessions.recent_until, 0, 0, 0, 0, -sessions.gap_us, 0),
            (sessions.churn_until, 0, 0, 0, 0, 0, -sessions.gap_us)
        )
            as change (
                changed_on,
                session_count_recent,
                session_count_churn,
                timed_session_count,
                session_us, session_span_recent_us, session_span_churn_us
            )
    where change.changed_on is not null
),

-- An item answered wrong on day w lies in the previous window of the days from
-- w + window to w + 2 windows - 1; the next wrong day takes over from there.
wrong_days as (
    select
        attempts.student_id,
        attempts.item_id,
        attempts.attempt_date as wrong_date,
        attempts.attempt_date + {{ long }} as counts_from,
        least(
            attempts.attempt_date + {{ 2 * long }},
            lead(attempts.attempt_date) over (
                partition by attempts.student_id, attempts.item_id
                order by attempts.attempt_date
            ) + {{ long }}
        ) as counts_to
    from attempts
    where
        not attempts.is_correct
        and {{ can_be_previous }}
    group by attempts.student_id, attempts.item_id, attempts.attempt_date
),

recovery_changes as (
    select
        attempts.student_id,
        change.changed_on,
        change.recovery_attempt_count,
        change.recovery_attempt_count * cast(attempts.is_correct as integer)
            as recovery_correct_count
    from attempts
    inner join wrong_days
        on
            attempts.student_id = wrong_days.student_id
            and attempts.item_id = wrong_days.item_id
            and attempts.attempt_date > wrong_days.wrong_date
            and attempts.attempt_date < wrong_days.counts_to
    cross join
        lateral (
            values
            (greatest(attempts.attempt_date, wrong_days.counts_from), 1),
            (least(attempts.attempt_date + {{ long }}, wrong_days.counts_to), -1)
        ) as change (changed_on, recovery_attempt_count)
    where
        attempts.is_correct is not null
        and {{ can_be_recent }}
        -- Nothing comes before a first attempt: this halves the join.
        and attempts.attempt_no > 1
),

{{ median_changes(long, can_be_previous) }},

changes as (
    {{ stack_changes(
        {
            'attempt_changes': [
                'last_activity_date', 'attempt_count_population',
                'attempt_count_recent', 'graded_recent_short_count',
                'correct_recent_short_count', 'graded_previous_short_count',
                'correct_previous_short_count', 'wrong_previous_count', 'hint_sum',
                'hint_attempt_count',
            ],
            'session_changes': [
                'last_activity_date', 'session_count_recent', 'session_count_churn',
                'timed_session_count', 'session_us', 'session_span_recent_us',
                'session_span_churn_us',
            ],
            'recovery_changes': ['recovery_attempt_count', 'recovery_correct_count'],
            'median_changes': [
                'timed_correct_recent_count', 'timed_correct_previous_count',
                'median_time_recent_half_ms', 'median_time_previous_half_ms',
            ],
        },
        counts,
        measures,
        ['last_activity_date']
    ) }}
),

changes_by_day as (
    select
        changes.student_id,
        changes.changed_on,
        max(changes.last_activity_date) as last_activity_date,
        {{ sum_changes('changes', counts, measures) }}
    from changes
    {% if is_incremental() %}
    inner join affected
        on
            changes.student_id = affected.student_id
            and changes.changed_on > affected.from_date
    {% endif %}
    group by changes.student_id, changes.changed_on
    {% if is_incremental() %}
    union all
    select
        existing.student_id,
        existing.valid_from as changed_on,
        existing.last_activity_date,
        existing.{{ (counts + measures) | join(',\n        existing.') }}
    from affected
    inner join {{ this }} as existing
        on
            affected.student_id = existing.student_id
            and affected.from_date = existing.valid_from
    {% endif %}
),

periods as (
    select
        changes_by_day.student_id,
        changes_by_day.changed_on as valid_from,
        lead(changes_by_day.changed_on) over so_far as valid_to,
        max(changes_by_day.last_activity_date) over so_far as last_activity_date,
        {{ sum_changes('changes_by_day', counts, measures, 'over so_far') }}
    from changes_by_day
    window so_far as (
        partition by changes_by_day.student_id
        order by changes_by_day.changed_on
    )
)

select periods.*
from periods
where periods.attempt_count_population > 0
