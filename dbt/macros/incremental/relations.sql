{% macro state_schema() %}
    {{- return(target.schema ~ '_state') -}}
{% endmacro %}

{% macro create_state_schema() %}
    {#- Once before the first model, since two threads that create it together collide. -#}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
        select pg_advisory_xact_lock(hashtext('dbt schema'), hashtext('{{ state_schema() }}'));
        create schema if not exists {{ state_schema() }};
    {%- endif -%}
{% endmacro %}

{% macro consumed_relation(name=none) %}
    {#- What a model consumed in its last build: one row per input and key. -#}
    {{- return(state_schema() ~ '.' ~ (name or model.name)) -}}
{% endmacro %}

{% macro revisions_relation(name=none) %}
    {#- The transaction that last rewrote any row of a key of a model (meta.revisions). -#}
    {{- return(state_schema() ~ '.' ~ (name or model.name) ~ '__revisions') -}}
{% endmacro %}

{% macro changes() %}
    {{- return('changes__' ~ model.name) -}}
{% endmacro %}

{% macro affected() %}
    {{- return('affected__' ~ model.name) -}}
{% endmacro %}

{% macro affected_sessions() %}
    {{- return(affected()) -}}
{% endmacro %}

{% macro affected_students() %}
    {{- return(affected()) -}}
{% endmacro %}

{% macro period_start(date) %}
    {#- The first day of the period that a row of this model covers (meta.period). -#}
    {%- set period = (config.get('meta') or {}).get('period', 'day') -%}
    {{- return(week_start(date) if period == 'week' else date) -}}
{% endmacro %}
