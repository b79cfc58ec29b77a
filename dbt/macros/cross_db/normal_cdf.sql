{% macro normal_cdf(x) -%}
    {{ return(adapter.dispatch('normal_cdf')(x)) }}
{%- endmacro %}


{# erfc keeps the digits of a small tail, which 1 - erf would lose. #}
{% macro default__normal_cdf(x) -%}
    0.5 * erfc(-({{ x }}) / sqrt(cast(2 as double precision)))
{%- endmacro %}
