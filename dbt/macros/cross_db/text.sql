{% macro bytewise(text) %}
    {{- return(adapter.dispatch('bytewise')(text)) -}}
{% endmacro %}

{% macro postgres__bytewise(text) %}
    {{- return(text ~ ' collate "C"') -}}
{% endmacro %}
