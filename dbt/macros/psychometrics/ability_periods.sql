{# When each ability estimate is the latest that counts: from its own day to the day
   before valid_to, which is the day of the next one under the same run, or the day on
   which the estimate is too old. One row per key, run and day with an estimate.
   On equal effective_at the higher id is later, as for every reader of abilities. #}
{% macro ability_periods(relation, keys, id) -%}
    select
        {% for key in keys -%}
            days.{{ key }},
        {% endfor -%}
        days.run_id,
        days.theta,
        days.standard_error,
        days.effective_date as valid_from,
        least(
            lead(days.effective_date) over (
                partition by days.{{ keys | join(', days.') }}, days.run_id
                order by days.effective_date
            ),
            {{ add_days('days.effective_date', var('ability_lookback_days')) }}
        ) as valid_to
    from (
        select
            {{ relation }}.*,
            row_number() over (
                partition by
                    {{ relation }}.{{ keys | join(', ' ~ relation ~ '.') }},
                    {{ relation }}.run_id,
                    {{ relation }}.effective_date
                order by {{ relation }}.effective_at desc, {{ relation }}.{{ id }} desc
            ) as recency
        from {{ relation }}
    ) as days
    where days.recency = 1
{%- endmacro %}
