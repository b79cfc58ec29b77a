{% macro affected_by_days(is_full) %}
    {#-
        The local days that a change names, for models that replace whole days of
        everybody (meta.key_column: attempt_date).
    -#}
    select distinct from_date as attempt_date from {{ changes() }} where from_date is not null
{% endmacro %}

{% macro affected_days() %}
    {{- return(affected()) -}}
{% endmacro %}
