{% macro reporting_timezone() %}
    {{- return(var('reporting_timezone')) -}}
{% endmacro %}

{% macro as_of_date_value() %}
    {#- The date this build is of, as text YYYY-MM-DD. -#}
    {%- if not execute -%}
        {{- return('1970-01-01') -}}
    {%- endif -%}
    {%- if var('as_of_date') is not none -%}
        {%- set value = var('as_of_date') | string -%}
        {%- if not is_calendar_date(value) -%}
            {%- do raise_bad_setting(
                'as_of_date', value, setting_problem('as_of_date', value, {'kind': 'date'})
            ) -%}
        {%- endif -%}
        {{- return(value) -}}
    {%- endif -%}
    {%- set yesterday = local_date('now()') ~ ' - 1' -%}
    {%- if model_builds_relation() -%}
        {%- set rows = run_query(
            'select cast(coalesce(max(as_of_date), ' ~ yesterday ~ ') as text) from '
            ~ model_builds_relation()
        ).rows -%}
    {%- else -%}
        {%- set rows = run_query('select cast(' ~ yesterday ~ ' as text)').rows -%}
    {%- endif -%}
    {{- return(rows[0][0]) -}}
{% endmacro %}

{% macro as_of_date() %}
    {{- return(date_literal(as_of_date_value())) -}}
{% endmacro %}

{% macro model_builds_relation() %}
    {{- return(
        adapter.get_relation(
            database=target.database, schema='ops', identifier='model_builds'
        )
    ) -}}
{% endmacro %}

{% macro last_build(name) %}
    {#- What the last build of a model left in ops.model_builds, or none. -#}
    {%- if not execute or not model_builds_relation() -%}
        {{- return(none) -}}
    {%- endif -%}
    {%- set rows = run_query(
        "select cast(as_of_date as text), cast(settings as text) from "
        ~ model_builds_relation() ~ " where model = '" ~ name ~ "'"
    ).rows -%}
    {%- if rows | length == 0 -%}
        {{- return(none) -}}
    {%- endif -%}
    {{- return({'as_of_date': rows[0][0], 'settings': fromjson(rows[0][1])}) -}}
{% endmacro %}

{% macro previous_as_of_date() %}
    {#-
        The date up to which this model's rows are kept: its last build's, or in a
        backfill the earlier as_of_date; null when everything is built anew.
    -#}
    {%- set build = last_build(model.name) if is_incremental() else none -%}
    {%- if build is none -%}
        {{- return('cast(null as date)') -}}
    {%- endif -%}
    {{- return(date_literal([build.as_of_date, as_of_date_value()] | min)) -}}
{% endmacro %}

{% macro model_settings(node) %}
    {#-
        The variables that decide a model's stored rows: those named in meta.settings,
        else all but the dates and switches of one run.
    -#}
    {%- set names = (node.config.get('meta') or {}).get('settings') -%}
    {%- if names is none -%}
        {%- set names = setting_rules() | reject('in', ['as_of_date', 'backfill']) | list -%}
    {%- endif -%}
    {%- set settings = {'reporting_timezone': var('reporting_timezone')} -%}
    {%- for name in names -%}
        {%- set value = var(name) -%}
        {%- do settings.update(
            {name: value if value is none or value is number or value is boolean
                else value | string}
        ) -%}
    {%- endfor -%}
    {{- return(settings) -}}
{% endmacro %}
