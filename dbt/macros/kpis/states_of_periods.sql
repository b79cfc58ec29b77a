{# CTEs that end in `states`: per student the stretches of days on which nothing changes,
   with what holds on them. `relations` names CTEs of periods (student_id, built_from,
   starts_on, and exclusive ends_before) and the numbers that each has; of the periods of
   a student that share a number's column, at most one holds on a day. 0 is none.

   Numbers are added where their period begins and taken off where it ends, so that the
   running sum is the number of the one that holds: one sort, where joins of periods to
   days would be as many as there are relations. #}
{% macro states_of_periods(relations, day_after) -%}
{%- set numbers = relations.values() | sum(start=[]) -%}
periods as (
    {% for relation, columns in relations.items() -%}
    select
        {{ relation }}.student_id,
        {{ relation }}.built_from,
        {{ relation }}.starts_on,
        {{ relation }}.ends_before
        {%- for number in numbers %},
        {% if number in columns %}{{ relation }}.{{ number }}{% else %}0 as {{ number }}{% endif %}
        {%- endfor %}
    from {{ relation }}
    {{ 'union all' if not loop.last }}
    {% endfor -%}
),

changes as (
    select
        periods.student_id,
        change.changed_on
        {%- for number in numbers %},
        -- Whole numbers below 2^53 are exact, and sums of bigint would be numeric.
        sum(cast(change.effect * periods.{{ number }} as double precision)) as {{ number }}
        {%- endfor %}
    from periods
    cross join
        lateral (
            values
            (greatest(periods.starts_on, periods.built_from), 1),
            (periods.ends_before, -1)
        ) as change (changed_on, effect)
    where
        periods.starts_on < periods.ends_before
        and periods.ends_before > periods.built_from
        and change.changed_on < {{ day_after }}
    group by periods.student_id, change.changed_on
),

states as (
    select
        changes.student_id,
        changes.changed_on as starts_on,
        lead(changes.changed_on, 1, {{ day_after }}) over so_far as ends_before
        {%- for number in numbers %},
        cast(sum(changes.{{ number }}) over so_far as bigint) as {{ number }}
        {%- endfor %}
    from changes
    window so_far as (partition by changes.student_id order by changes.changed_on)
)
{%- endmacro %}
