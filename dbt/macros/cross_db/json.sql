{% macro json_get(document, key) %}
    {{- return(adapter.dispatch('json_get')(document, key)) -}}
{% endmacro %}

{% macro postgres__json_get(document, key) %}
    {{- return("(" ~ document ~ " -> '" ~ key ~ "')") -}}
{% endmacro %}

{% macro json_get_text(document, key) %}
    {{- return(adapter.dispatch('json_get_text')(document, key)) -}}
{% endmacro %}

{% macro postgres__json_get_text(document, key) %}
    {{- return("(" ~ document ~ " ->> '" ~ key ~ "')") -}}
{% endmacro %}

{% macro json_type(value) %}
    {{- return(adapter.dispatch('json_type')(value)) -}}
{% endmacro %}

{% macro postgres__json_type(value) %}
    {{- return("jsonb_typeof(" ~ value ~ ")") -}}
{% endmacro %}

{% macro json_text(value) %}
    {{- return(adapter.dispatch('json_text')(value)) -}}
{% endmacro %}

{% macro postgres__json_text(value) %}
    {{- return("(" ~ value ~ " #>> '{}')") -}}
{% endmacro %}

{% macro json_array_length(value) %}
    {{- return(adapter.dispatch('json_array_length')(value)) -}}
{% endmacro %}

{% macro postgres__json_array_length(value) %}
    {{- return("jsonb_array_length(" ~ value ~ ")") -}}
{% endmacro %}
