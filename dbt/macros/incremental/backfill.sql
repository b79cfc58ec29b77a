{% macro backfill_range() %}
    {#- The local days that this run builds anew whether they changed or not, or none. -#}
    {%- if not var('backfill') or var('backfill_from') is none -%}
        {{- return(none) -}}
    {%- endif -%}
    {{- return({
        'first': var('backfill_from') | string, 'last': var('backfill_to') | string
    }) -}}
{% endmacro %}

{% macro backfills_relation() %}
    {#- Which models an unfinished backfill has done, so that it goes on where it stopped. -#}
    {{- return(state_schema() ~ '.backfills') -}}
{% endmacro %}

{% macro create_backfill_state_sql() %}
    {%- set range = backfill_range() %}
    create table if not exists {{ backfills_relation() }} (
        model text primary key,
        backfill_from date not null,
        backfill_to date not null,
        built_at timestamptz not null
    );
    {%- if range %}
    delete from {{ backfills_relation() }}
    where
        backfill_from <> {{ date_literal(range.first) }}
        or backfill_to <> {{ date_literal(range.last) }};
    {%- endif %}
{% endmacro %}

{% macro is_to_be_backfilled() %}
    {%- if not backfill_range() -%}
        {{- return(false) -}}
    {%- endif -%}
    {{- return(
        run_query(
            "select 1 from " ~ backfills_relation() ~ " where model = '" ~ model.name ~ "'"
        ).rows | length == 0
    ) -}}
{% endmacro %}

{% macro backfilled_keys_sql() %}
    {#-
        What a backfill adds to the changes of a model: keys that are built anew although
        nothing about them changed.
    -#}
    {%- set affected = (config.get('meta') or {}).get('affected', 'sessions') %}
    insert into {{ changes() }}
    select
        'backfill' as input,
        keys.input_key,
        '' as version,
        keys.student_id,
        keys.from_date,
        false as is_current
    from ({{ context['backfilled_' ~ affected](backfill_range()) }}) as keys;
{% endmacro %}

{% macro backfilled_sessions(range) %}
    {#-
        Sessions whose stored rows lie in these days, and those that the source says were
        written then: rows that were lost here are known only there.
    -#}
    {%- set first = date_literal(range.first) -%}
    {%- set last = date_literal(range.last) %}
    select
        sessions.session_id as input_key,
        cast(null as text) as student_id,
        cast(null as date) as from_date
    from (
        select session_id
        from {{ ref('stg_exam__results') }}
        where
            {{ local_date('created_at') }} between {{ first }} and {{ add_days(
                last, var('answered_at_tolerance_days')
            ) }}
        union
        select session_id
        from {{ ref('stg_exam__sessions') }}
        where {{ local_date('started_at') }} between {{ first }} and {{ last }}
        {%- if model.name == 'fct_attempts' %}
        union
        select session_id
        from {{ this }}
        where attempt_date between {{ first }} and {{ last }}
        {%- elif model.name == 'fct_sessions' %}
        union
        select session_id
        from {{ this }}
        where session_date between {{ first }} and {{ last }}
        {%- endif %}
    ) as sessions
{% endmacro %}

{% macro backfilled_attempt_sessions(range) %}
    {{- return(backfilled_sessions(range)) -}}
{% endmacro %}

{% macro backfilled_students(range) %}
    {#- What is kept per student is built whole: no day can be built without the others. -#}
    select
        students.student_id as input_key,
        students.student_id,
        cast(null as date) as from_date
    from (
        select student_id from {{ consumed_relation() }} where student_id is not null
        union
        select student_id from {{ this }}
    ) as students
{% endmacro %}

{% macro backfilled_student_periods(range) %}
    {{- return(backfilled_students(range)) -}}
{% endmacro %}

{% macro backfilled_item_days(range) %}
    select
        cast(days.value as text) as input_key,
        cast(null as text) as student_id,
        days.value as from_date
    from {{ days_series(date_literal(range.first), date_literal(range.last), 'days', 'value') }}
{% endmacro %}

{% macro backfilled_student_days(range) %}
    {#- Everybody, from the first of the days on: later days rest on earlier ones. -#}
    select
        'everybody' as input_key,
        cast(null as text) as student_id,
        {{ date_literal(range.first) }} as from_date
{% endmacro %}

{% macro remember_backfill_sql() %}
    {%- set range = backfill_range() %}
    {%- if range %}
    insert into {{ backfills_relation() }} (model, backfill_from, backfill_to, built_at)
    values (
        '{{ model.name }}',
        {{ date_literal(range.first) }},
        {{ date_literal(range.last) }},
        clock_timestamp()
    )
    on conflict (model) do nothing;
    {%- endif %}
{% endmacro %}

{% macro finish_backfill(results) %}
    {#- On the end of a run: once all of it is done, the same backfill can be asked for again. -#}
    {%- if execute and backfill_range() and flags.WHICH in ('run', 'build') -%}
        {%- set unfinished = results
            | selectattr('node.resource_type', 'equalto', 'model')
            | rejectattr('status', 'equalto', 'success') | list -%}
        {%- if not unfinished -%}
            delete from {{ backfills_relation() }}
            where model in ('{{ selected_models() | join("', '") }}')
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
