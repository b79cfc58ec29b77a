{# When each ability estimate is the latest that counts: from its own day to the day
   before valid_to, which is the day of the next one under the same run, or the day on
   which the estimate is too old. One row per key, run and day with an estimate. #}
{% macro ability_periods(relation, keys, id) -%}
    select
        {% for key in keys -%}
            estimates.{{ key }},
        {% endfor -%}
        estimates.run_id,
        estimates.theta,
        estimates.standard_error,
        estimates.effective_date as valid_from,
        {{ estimate_counts_until(
            'estimates.effective_date', 'estimates.next_effective_date'
        ) }} as valid_to
    from (
        select
            {{ relation }}.*,
            {{ next_effective_date(relation, keys + ['run_id'], id) }}
                as next_effective_date
        from {{ relation }}
    ) as estimates
    -- The last of a day is what the day ends with.
    where estimates.next_effective_date is distinct from estimates.effective_date
{%- endmacro %}
