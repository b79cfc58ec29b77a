-- depends_on: {{ ref('fct_student_daily_kpis') }}
-- Reads nothing of the KPIs, but waits for them: they lie on the longest path through
-- a night, and dbt would build this model first.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_differing',
    unique_key=['changed_on', 'student_id'],
    on_schema_change='fail',
    pre_hook="{{ begin_whole_build(['int_activity__windowed']) }}",
    post_hook="{{ end_whole_build() }}",
    indexes=[{'columns': ['changed_on', 'student_id'], 'unique': true}]
) }}

{%- set cooldown_days = [days_setting('notification_cooldown_days'), 1] | max -%}
{%- set history_start = var('kpi_history_start') or '0001-01-01' -%}

-- A state depends on the last activity alone, so that its days follow from the days of
-- activity: far fewer than student-days, and the same transitions.
with activity as (
    select
        int_activity__windowed.student_id,
        int_activity__windowed.last_activity_date,
        greatest(
            min(int_activity__windowed.valid_from), {{ date_literal(history_start) }}
        ) as starts_on,
        least(max(int_activity__windowed.valid_to), {{ add_days(as_of_date(), 1) }})
            as ends_before
    from {{ ref('int_activity__windowed') }} as int_activity__windowed
    group by
        int_activity__windowed.student_id,
        int_activity__windowed.last_activity_date
),

states as (
    select
        activity.student_id,
        activity.last_activity_date,
        state_days.state,
        state_days.severity,
        state_days.threshold_days,
        greatest(
            activity.starts_on,
            {{ add_days('activity.last_activity_date', 'state_days.threshold_days') }}
        ) as starts_on
    from activity
    inner join (
        values
        ('active', 0, 0, {{ var('inactivity_threshold_days') }}),
        (
            'inactive',
            1,
            {{ var('inactivity_threshold_days') }},
            {{ var('dormant_threshold_days') }}
        ),
        ('dormant', 2, {{ var('dormant_threshold_days') }}, null)
    ) as state_days (state, severity, threshold_days, next_threshold_days)
        on
            greatest(
                activity.starts_on,
                {{ add_days(
                    'activity.last_activity_date', 'state_days.threshold_days'
                ) }}
            ) < least(
                activity.ends_before,
                {{ add_days(
                    'activity.last_activity_date', 'state_days.next_threshold_days'
                ) }}
            )
),

-- A student who was away for longer than the population window comes back from the
-- state of the last row before.
states_in_order as (
    select
        states.student_id,
        states.starts_on as changed_on,
        states.state as to_state,
        states.severity,
        {{ days_between('states.last_activity_date', 'states.starts_on') }}
            as days_since_last_activity,
        lag(states.state) over by_day as from_state,
        lag(states.severity) over by_day as from_severity
    from states
    window by_day as (partition by states.student_id order by states.starts_on)
),

transitions as (
    select
        states_in_order.student_id,
        states_in_order.changed_on,
        states_in_order.from_state,
        states_in_order.to_state,
        states_in_order.days_since_last_activity,
        states_in_order.severity > states_in_order.from_severity as is_worse
    from states_in_order
    where states_in_order.from_state <> states_in_order.to_state
),

-- Each student's transitions for the worse, and the first of them after the cooldown.
candidates as (
    select
        transitions.student_id,
        transitions.changed_on,
        row_number() over by_day as candidate_number,
        min(transitions.changed_on) over (
            partition by transitions.student_id
            order by transitions.changed_on
            range between
            interval '{{ cooldown_days }} days' following
            and unbounded following
        ) as next_changed_on
    from transitions
    where transitions.is_worse
    window by_day as (
        partition by transitions.student_id
        order by transitions.changed_on
    )
),

notifications as (
    with recursive notified as (
        select
            candidates.student_id,
            candidates.changed_on,
            candidates.next_changed_on
        from candidates
        where candidates.candidate_number = 1
        union all
        select
            candidates.student_id,
            candidates.changed_on,
            candidates.next_changed_on
        from notified
        inner join candidates
            on
                notified.student_id = candidates.student_id
                and notified.next_changed_on = candidates.changed_on
    )

    select
        notified.student_id,
        notified.changed_on
    from notified
)

select
    transitions.student_id,
    transitions.changed_on,
    transitions.from_state,
    transitions.to_state,
    transitions.days_since_last_activity,
    case
        when transitions.is_worse and transitions.to_state = 'inactive'
            then 'inactivity_threshold_reached'
        when transitions.is_worse then 'dormant_threshold_reached'
        else 'activity_resumed'
    end as reason,
    notifications.student_id is not null as should_notify
from transitions
left join notifications
    on
        transitions.student_id = notifications.student_id
        and transitions.changed_on = notifications.changed_on
