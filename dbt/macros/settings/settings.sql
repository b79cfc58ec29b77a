{% macro days_setting(name) %}
    {#-
        A variable that models calculate with. dbt renders models before it can check
        anything, so that a value which is no number must not stop it there, with a message
        that names no variable; validate_settings refuses it before anything is built.
    -#}
    {{- return(var(name) if var(name) is integer else 1) -}}
{% endmacro %}

{% macro reporting_timezone() %}
    {{- return(var('reporting_timezone')) -}}
{% endmacro %}

{% macro as_of_date_value() %}
    {#-
        The date this build is of, as text YYYY-MM-DD. Jobs that build a new date every
        night give it as AS_OF_DATE in the environment: with other --vars than the night
        before, dbt would read the whole project anew.
    -#}
    {%- if not execute -%}
        {{- return('1970-01-01') -}}
    {%- endif -%}
    {%- set given = var('as_of_date') or env_var('AS_OF_DATE', '') -%}
    {%- if given -%}
        {%- set value = given | string -%}
        {%- if not is_calendar_date(value) -%}
            {%- do raise_bad_setting(
                'as_of_date', value, setting_problem('as_of_date', value, {'kind': 'date'})
            ) -%}
        {%- endif -%}
        {{- return(value) -}}
    {%- endif -%}
    {%- if graph.get('resolved_as_of_date') -%}
        {{- return(graph.resolved_as_of_date) -}}
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

{% macro resolve_as_of_date() %}
    {#-
        At the start of a run, for all of it: another build, or midnight, may pass before
        the last model. What is kept in `graph` lasts as long as this dbt process.
    -#}
    {%- do graph.update({'resolved_as_of_date': none}) -%}
    {%- do graph.update({'resolved_as_of_date': as_of_date_value()}) -%}
{% endmacro %}

{% macro test_scope() %}
    {#- What data tests read. In the environment for the same reason as AS_OF_DATE. -#}
    {%- set scope = (var('test_scope') or env_var('TEST_SCOPE', '') or 'all') | string -%}
    {%- set allowed = setting_problem('test_scope', scope, setting_rules().test_scope) -%}
    {%- if allowed is not none -%}
        {%- do raise_bad_setting('test_scope', scope, allowed) -%}
    {%- endif -%}
    {{- return(scope) -}}
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
    {%- set build = last_build_when_compiled() -%}
    {%- if build is none -%}
        {{- return('cast(null as date)') -}}
    {%- endif -%}
    {{- return(date_literal([build.as_of_date, as_of_date_value()] | min)) -}}
{% endmacro %}

{% macro last_build_when_compiled() %}
    {#-
        This model's last build, as it is when dbt writes the model's SQL, before any lock.
        begin_build looks again once it holds the lock.
    -#}
    {%- set build = last_build(model.name) if is_incremental() else none -%}
    {%- if execute and build is not none -%}
        {%- do graph.setdefault('compiled_builds', {}).update({model.name: build.as_of_date}) -%}
    {%- endif -%}
    {{- return(build) -}}
{% endmacro %}

{% macro validate_unmoved(build) %}
    {#-
        Refuses SQL that takes more days for built than there are, since another build has
        gone back to an earlier day in between.
    -#}
    {%- set compiled = graph.get('compiled_builds', {}).get(model.name) -%}
    {%- if compiled is not none and build.as_of_date < compiled -%}
        {%- do exceptions.raise_compiler_error(
            'Another build took ' ~ model.name ~ ' back from ' ~ compiled ~ ' to '
            ~ build.as_of_date ~ ' while this one waited for it. Run dbt again.'
        ) -%}
    {%- endif -%}
{% endmacro %}

{% macro model_settings(node) %}
    {#-
        The variables that decide a model's stored rows: those named in meta.settings,
        else all but the dates and switches of one run.
    -#}
    {%- set names = (node.config.get('meta') or {}).get('settings') -%}
    {%- if names is none -%}
        {%- set names = setting_rules() | reject('in', [
            'as_of_date', 'backfill', 'backfill_from', 'backfill_to', 'test_scope'
        ]) | list -%}
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
