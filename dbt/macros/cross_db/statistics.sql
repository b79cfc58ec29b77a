{% macro median(value) %}
    {{- return(adapter.dispatch('median')(value)) -}}
{% endmacro %}

{% macro postgres__median(value) %}
    {{- return("percentile_cont(0.5) within group (order by " ~ value ~ ")") -}}
{% endmacro %}

{% macro quantile(value, share) %}
    {{- return(adapter.dispatch('quantile')(value, share)) -}}
{% endmacro %}

{% macro postgres__quantile(value, share) %}
    {{- return("percentile_disc(" ~ share ~ ") within group (order by " ~ value ~ ")") -}}
{% endmacro %}

{% macro clamp(value, lowest=0, highest=1) %}
    {#- least and greatest skip nulls, so that an unknown would become a bound. -#}
    {{- return(
        "case when (" ~ value ~ ") is not null then greatest(" ~ lowest ~ ", least("
        ~ highest ~ ", " ~ value ~ ")) end"
    ) -}}
{% endmacro %}
