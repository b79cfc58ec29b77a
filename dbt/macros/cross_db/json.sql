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

{% macro json_array_holds(document, text) %}
    {{- return(adapter.dispatch('json_array_holds')(document, text)) -}}
{% endmacro %}

{% macro postgres__json_array_holds(document, text) %}
    {{- return("(" ~ document ~ " ? '" ~ text ~ "')") -}}
{% endmacro %}
