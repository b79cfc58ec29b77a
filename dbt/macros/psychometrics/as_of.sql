{# Cumulative marts have a row for each Sunday and for the current day. The current day's
   row is replaced when the day moves, so that builds on every day of a week leave what
   one build on its last day does. #}


{% macro is_as_of(date) -%}
    ({{ week_end(date) }} = {{ date }} or {{ date }} = {{ as_of_date() }})
{%- endmacro %}


{% macro week_end(date) -%}
    {{ add_days(week_start(date), 6) }}
{%- endmacro %}


{# The first as_of on or after a day; unknown for an unknown day. #}
{% macro as_of_for(date) -%}
    case
        when {{ date }} is not null
            then least({{ week_end(date) }}, {{ as_of_date() }})
    end
{%- endmacro %}


{# The first day whose as_of rows every key lacks: the day after the last build, or the
   current day when the last build was of another one (a backfill); null when what did
   not change is complete. #}
{% macro first_as_of_to_build() -%}
    {%- set build = last_build_when_compiled() -%}
    {%- if build is none or build.as_of_date == as_of_date_value() -%}
        cast(null as date)
    {%- elif build.as_of_date > as_of_date_value() -%}
        {{ as_of_date() }}
    {%- else -%}
        {{ add_days(date_literal(build.as_of_date), 1) }}
    {%- endif -%}
{%- endmacro %}


{# Post-hook: the rows of the days that were the current one when they were built. #}
{% macro delete_superseded_as_of() -%}
    delete from {{ this }}
    where as_of < {{ as_of_date() }} and {{ week_end('as_of') }} <> as_of
{%- endmacro %}
