{% macro postgres__snapshot_get_time() %}
    {#- History is dated by the day a build is of, not by the clock of the machine. -#}
    {{- return(as_of_date()) -}}
{% endmacro %}
