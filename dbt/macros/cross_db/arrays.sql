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

{% macro array_length(value) %}
    {{- return(adapter.dispatch('array_length')(value)) -}}
{% endmacro %}

{% macro postgres__array_length(value) %}
    {{- return("cardinality(" ~ value ~ ")") -}}
{% endmacro %}

{% macro middle_element(value) %}
    {{- return(adapter.dispatch('middle_element')(value)) -}}
{% endmacro %}

{% macro postgres__middle_element(value) %}
    {{- return("(" ~ value ~ ")[(cardinality(" ~ value ~ ") + 1) / 2]") -}}
{% endmacro %}

{% macro count_at_most(sorted_values, bound) %}
    {{- return(adapter.dispatch('count_at_most')(sorted_values, bound)) -}}
{% endmacro %}

{# A binary search. #}
{% macro postgres__count_at_most(sorted_values, bound) %}
    {{- return("width_bucket(" ~ bound ~ ", " ~ sorted_values ~ ")") -}}
{% endmacro %}

{% macro array_between(sorted_values, above, up_to) %}
    {{- return(adapter.dispatch('array_between')(sorted_values, above, up_to)) -}}
{% endmacro %}

{% macro postgres__array_between(sorted_values, above, up_to) %}
    {{- return(
        "(" ~ sorted_values ~ ")[coalesce(" ~ count_at_most(sorted_values, above)
        ~ ", 0) + 1 : coalesce(" ~ count_at_most(sorted_values, up_to) ~ ", cardinality("
        ~ sorted_values ~ "))]"
    ) -}}
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
