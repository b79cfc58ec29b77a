{% macro sorted_array(value) %}
    {{- return(adapter.dispatch('sorted_array')(value)) -}}
{% endmacro %}

{% macro postgres__sorted_array(value) %}
    {{- return(
        "array_agg(" ~ value ~ " order by " ~ value ~ ") filter (where " ~ value
        ~ " is not null)"
    ) -}}
{% endmacro %}

{% macro array_of(value, condition) %}
    {{- return(adapter.dispatch('array_of')(value, condition)) -}}
{% endmacro %}

{% macro postgres__array_of(value, condition) %}
    {{- return("array_agg(" ~ value ~ ") filter (where " ~ condition ~ ")") -}}
{% endmacro %}

{% macro array_elements(value, alias, column) %}
    {{- return(adapter.dispatch('array_elements')(value, alias, column)) -}}
{% endmacro %}

{% macro postgres__array_elements(value, alias, column) %}
    {{- return("unnest(" ~ value ~ ") as " ~ alias ~ " (" ~ column ~ ")") -}}
{% endmacro %}

{% macro json_object_agg(key, value, condition=none) %}
    {{- return(adapter.dispatch('json_object_agg')(key, value, condition)) -}}
{% endmacro %}

{% macro postgres__json_object_agg(key, value, condition) %}
    {%- set aggregate = "jsonb_object_agg(" ~ key ~ ", " ~ value ~ ")" -%}
    {{- return(
        aggregate ~ " filter (where " ~ condition ~ ")" if condition else aggregate
    ) -}}
{% endmacro %}

{% macro json_object_entries(document, alias, key, value) %}
    {{- return(adapter.dispatch('json_object_entries')(document, alias, key, value)) -}}
{% endmacro %}

{% macro postgres__json_object_entries(document, alias, key, value) %}
    {{- return(
        "jsonb_each(" ~ document ~ ") as " ~ alias ~ " (" ~ key ~ ", " ~ value ~ ")"
    ) -}}
{% endmacro %}
