{# CTEs that end in `estimate_periods`: the days on which each ability estimate counts, as
   the current one (ability_id), as one of the recent window (is_recent), or as the one
   that closes the previous window (previous_ability_id). They read the CTEs `students`
   (student_id, built_from), `first_built` (built_from) and `runs` (run_id, valid_from,
   valid_to) of the model; `day_after` is the day after the build's. #}
{% macro ability_estimate_periods(short, day_after) -%}
-- The last estimate of a student's day under a run, until the next one.
estimates_in_order as (
    select
        abilities.ability_id,
        abilities.student_id,
        abilities.run_id,
        abilities.theta,
        abilities.standard_error,
        abilities.effective_at,
        abilities.effective_date,
        students.built_from,
        {{ next_effective_date('abilities', ['student_id', 'run_id'], 'ability_id') }}
            as next_effective_date
    from {{ ref('stg_irt__abilities') }} as abilities
    inner join students on abilities.student_id = students.student_id
    where
        abilities.run_id in (select runs.run_id from runs)
        and abilities.effective_date < {{ day_after }}
        and {{ add_days(
            'abilities.effective_date', [days_setting('ability_lookback_days'), 2 * short] | max
        ) }} > (select first_built.built_from from first_built)
),

estimates as materialized (
    select estimates_in_order.*
    from estimates_in_order
    where
        estimates_in_order.next_effective_date
        is distinct from estimates_in_order.effective_date
        -- One that was followed by another before the previous window counts nowhere.
        and (
            estimates_in_order.next_effective_date is null
            or {{ add_days('estimates_in_order.next_effective_date', short) }}
            > estimates_in_order.built_from
        )
),

-- Which estimate counts: the current one, whether it lies in the recent window, and the
-- one that closes the previous window. Each only while its run is in force.
estimate_periods as (
    select
        estimates.student_id,
        estimates.built_from,
        greatest(period.starts_on, runs.valid_from) as starts_on,
        least(period.ends_before, runs.valid_to) as ends_before,
        period.ability_id,
        period.is_recent,
        period.previous_ability_id
    from estimates
    inner join runs on estimates.run_id = runs.run_id
    cross join lateral (
        values
        (
            estimates.effective_date,
            {{ estimate_counts_until(
                'estimates.effective_date', 'estimates.next_effective_date'
            ) }},
            estimates.ability_id, 0, 0
        ),
        (
            estimates.effective_date,
            least(
                estimates.next_effective_date,
                {{ add_days('estimates.effective_date', short) }}
            ),
            0, 1, 0
        ),
        (
            {{ add_days('estimates.effective_date', short) }},
            least(
                {{ add_days('estimates.next_effective_date', short) }},
                {{ add_days('estimates.effective_date', 2 * short) }}
            ),
            0, 0, estimates.ability_id
        )
    ) as period (starts_on, ends_before, ability_id, is_recent, previous_ability_id)
)
{%- endmacro %}
