{# The inactivity state of a day, by the days since the last activity. #}
{% macro inactivity_state(days_since_last_activity) -%}
    case
        when {{ days_since_last_activity }} >= {{ var('dormant_threshold_days') }}
            then 'dormant'
        when {{ days_since_last_activity }} >= {{ var('inactivity_threshold_days') }}
            then 'inactive'
        else 'active'
    end
{%- endmacro %}
