{% macro begin_snapshot(mutex, relations) %}
    {{- return(adapter.dispatch('begin_snapshot')(mutex, relations)) -}}
{% endmacro %}

{# Locks come first: what a transaction of this isolation sees is fixed by its first query,
   and LOCK is none. Without the share locks, a relation that another build puts in place of
   one that this build has yet to read would look empty to it. #}
{% macro postgres__begin_snapshot(mutex, relations) %}
    {%- do run_query('commit') -%}
    {%- do run_query('begin isolation level repeatable read') -%}
    {%- do run_query('lock table ' ~ mutex ~ ' in share row exclusive mode') -%}
    {%- if relations -%}
        {%- do run_query('lock table ' ~ relations | join(', ') ~ ' in access share mode') -%}
    {%- endif -%}
{% endmacro %}

{% macro lock_until_commit(name) %}
    {{- return(adapter.dispatch('lock_until_commit')(name)) -}}
{% endmacro %}

{% macro postgres__lock_until_commit(name) %}
    {{- return(
        "select pg_advisory_xact_lock(hashtext('dbt schema'), hashtext('" ~ name ~ "'))"
    ) -}}
{% endmacro %}

{% macro transaction_number() %}
    {{- return(adapter.dispatch('transaction_number')()) -}}
{% endmacro %}

{% macro postgres__transaction_number() %}
    {{- return("cast(cast(pg_current_xact_id() as text) as bigint)") -}}
{% endmacro %}
