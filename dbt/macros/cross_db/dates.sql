{% macro date_literal(value) %}
    {{- return(adapter.dispatch('date_literal')(value)) -}}
{% endmacro %}

{% macro default__date_literal(value) %}
    {{- return("cast('" ~ value ~ "' as date)") -}}
{% endmacro %}

{% macro end_of_time() %}
    {{- return(adapter.dispatch('end_of_time')()) -}}
{% endmacro %}

{% macro postgres__end_of_time() %}
    {{- return("cast('infinity' as date)") -}}
{% endmacro %}

{% macro local_date(timestamp) %}
    {{- return(adapter.dispatch('local_date')(timestamp)) -}}
{% endmacro %}

{% macro postgres__local_date(timestamp) %}
    {{- return("cast((" ~ timestamp ~ ") at time zone '" ~ reporting_timezone() ~ "' as date)") -}}
{% endmacro %}

{% macro is_time_zone(name) %}
    {{- return(adapter.dispatch('is_time_zone')(name)) -}}
{% endmacro %}

{% macro postgres__is_time_zone(name) %}
    {%- set found = run_query(
        "select 1 from pg_catalog.pg_timezone_names where name = '" ~ name ~ "'"
    ) -%}
    {{- return(found.rows | length > 0) -}}
{% endmacro %}

{% macro add_days(date, days) %}
    {{- return(adapter.dispatch('add_days')(date, days)) -}}
{% endmacro %}

{% macro postgres__add_days(date, days) %}
    {{- return("(" ~ date ~ " + (" ~ days ~ "))") -}}
{% endmacro %}

{% macro days_between(first_date, last_date) %}
    {{- return(adapter.dispatch('days_between')(first_date, last_date)) -}}
{% endmacro %}

{% macro postgres__days_between(first_date, last_date) %}
    {{- return("(" ~ last_date ~ " - " ~ first_date ~ ")") -}}
{% endmacro %}

{% macro week_start(date) %}
    {{- return(adapter.dispatch('week_start')(date)) -}}
{% endmacro %}

{# By whole numbers from a Monday on: extracting the day of the week takes ten times as long. #}
{% macro postgres__week_start(date) %}
    {{- return("(" ~ date ~ " - (" ~ date ~ " - date '0001-01-01') % 7)") -}}
{% endmacro %}

{% macro seconds_between(started_at, ended_at) %}
    {{- return(adapter.dispatch('seconds_between')(started_at, ended_at)) -}}
{% endmacro %}

{% macro postgres__seconds_between(started_at, ended_at) %}
    {{- return("cast(extract(epoch from (" ~ ended_at ~ ") - (" ~ started_at ~ ")) as double precision)") -}}
{% endmacro %}

{% macro days_series(first_date, last_date, alias, column) %}
    {{- return(adapter.dispatch('days_series')(first_date, last_date, alias, column)) -}}
{% endmacro %}

{% macro postgres__days_series(first_date, last_date, alias, column) %}
    {%- set day_count = days_between(first_date, last_date) -%}
    {{- return(
        "lateral (select " ~ first_date ~ " + offsets.value as " ~ column
        ~ " from generate_series(0, " ~ day_count ~ ") as offsets (value)) as " ~ alias
    ) -}}
{% endmacro %}
