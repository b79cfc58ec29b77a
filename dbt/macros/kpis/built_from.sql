{# First day that this build replaces for a student: the first affected one, else the day
   after the last build; never before kpi_history_start. #}
{% macro built_from(affected_from, first_new_day, day_after) -%}
    {%- set first_day -%}
        least({{ affected_from }}, coalesce({{ first_new_day }}, {{ day_after }}))
    {%- endset -%}
    {%- if var('kpi_history_start') is none -%}
        {{ first_day }}
    {%- else -%}
        greatest({{ first_day }}, {{ date_literal(var('kpi_history_start')) }})
    {%- endif -%}
{%- endmacro %}
