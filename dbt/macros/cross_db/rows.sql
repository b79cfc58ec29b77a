{% macro row_version(relation) %}
    {{- return(adapter.dispatch('row_version')(relation)) -}}
{% endmacro %}

{# The transaction that wrote the row, which moves however the row was changed. #}
{% macro postgres__row_version(relation) %}
    {{- return("cast(" ~ relation ~ ".xmin as text)") -}}
{% endmacro %}

{% macro composite_key(values) %}
    {{- return(adapter.dispatch('composite_key')(values)) -}}
{% endmacro %}

{% macro postgres__composite_key(values) %}
    {{- return("cast(jsonb_build_array(" ~ values | join(', ') ~ ") as text)") -}}
{% endmacro %}

{% macro finite(timestamp) %}
    {{- return(adapter.dispatch('finite')(timestamp)) -}}
{% endmacro %}

{% macro postgres__finite(timestamp) %}
    {{- return("case when isfinite(" ~ timestamp ~ ") then " ~ timestamp ~ " end") -}}
{% endmacro %}
