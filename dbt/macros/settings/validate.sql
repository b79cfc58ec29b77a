{% macro validate_settings() %}
    {#- Runs before anything is written, so that a typing error costs no half-built night. -#}
    {%- if execute -%}
        {%- do validate_names() -%}
        {%- for name, rule in setting_rules().items() -%}
            {%- set allowed = setting_problem(name, var(name), rule) -%}
            {%- if allowed is not none -%}
                {%- do raise_bad_setting(name, var(name), allowed) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do validate_weights('engagement_weight_') -%}
        {%- do validate_weights('churn_weight_') -%}
        {%- do validate_order('short_window_days', 'long_window_days') -%}
        {%- do validate_order('inactivity_threshold_days', 'dormant_threshold_days') -%}
        {%- do validate_timezone() -%}
        {%- do resolve_as_of_date() -%}
        {%- do test_scope() -%}
        {%- do validate_backfill() -%}
        {%- if flags.WHICH in ('run', 'build') -%}
            {%- do validate_builds(selected_models()) -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}

{% macro validate_names() %}
    {#- dbt takes a variable that nothing reads, and a misspelt date would count for none. -#}
    {%- set given = invocation_args_dict.get('vars') or {} -%}
    {%- for name in given -%}
        {%- if name not in setting_rules() -%}
            {%- do exceptions.raise_compiler_error(
                'There is no variable ' ~ name ~ ', given as ' ~ (given[name] | string)
                ~ '; allowed are ' ~ setting_rules() | sort | join(', ')
                ~ '. Nothing was built.'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}

{% macro validate_weights(prefix) %}
    {%- set total = namespace(value=0, names=[]) -%}
    {%- for name in setting_rules() if name.startswith(prefix) -%}
        {%- set total.value = total.value + var(name) -%}
        {%- do total.names.append(name) -%}
    {%- endfor -%}
    {%- if (total.value - 1) | abs > 1e-9 -%}
        {%- do raise_bad_setting(
            total.names | join(' + '), total.value | round(9), 'weights that sum to 1'
        ) -%}
    {%- endif -%}
{% endmacro %}

{% macro validate_order(lower, higher) %}
    {%- if var(lower) >= var(higher) -%}
        {%- do raise_bad_setting(
            lower, var(lower), 'less than ' ~ higher ~ ', which is ' ~ var(higher)
        ) -%}
    {%- endif -%}
{% endmacro %}

{% macro validate_backfill() %}
    {#- Its days come as a pair, in order, in a backfill, and not after the day of the build. -#}
    {%- set first = var('backfill_from') -%}
    {%- set last = var('backfill_to') -%}
    {%- for name, other in [
        ('backfill_from', 'backfill_to'), ('backfill_to', 'backfill_from')
    ] -%}
        {%- if var(name) is none and var(other) is not none -%}
            {%- do raise_bad_setting(
                name, none, 'a calendar date, since ' ~ other ~ ' is ' ~ var(other)
            ) -%}
        {%- endif -%}
        {%- if var(name) is not none and not var('backfill') -%}
            {%- do raise_bad_setting(
                name, var(name) | string, 'null, unless backfill is true'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if first is not none and first | string > last | string -%}
        {%- do raise_bad_setting(
            'backfill_from', first | string, 'a date not after backfill_to, which is ' ~ last
        ) -%}
    {%- endif -%}
    {%- if last is not none and last | string > as_of_date_value() -%}
        {%- do raise_bad_setting(
            'backfill_to', last | string,
            'a date not after the day of the build, which is ' ~ as_of_date_value()
        ) -%}
    {%- endif -%}
{% endmacro %}

{% macro validate_timezone() %}
    {%- set name = var('reporting_timezone') -%}
    {%- if not is_time_zone(name) -%}
        {%- do raise_bad_setting(
            'reporting_timezone', name,
            'the name of a time zone that PostgreSQL knows, such as Asia/Seoul'
        ) -%}
    {%- endif -%}
{% endmacro %}

{% macro selected_models() %}
    {%- set names = [] -%}
    {%- for unique_id in selected_resources -%}
        {%- set node = graph.nodes.get(unique_id) -%}
        {%- if node and node.config.get('incremental_strategy') == 'replace_affected' -%}
            {%- do names.append(node.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {{- return(names) -}}
{% endmacro %}

{% macro validate_builds(names) %}
    {#- Refuses before the first model what begin_build would refuse at each of them. -#}
    {%- if names and not model_builds_relation() -%}
        {%- do exceptions.raise_compiler_error(
            'The table ops.model_builds is missing. Run "python -m warehouse migrate" first.'
        ) -%}
    {%- endif -%}
    {%- if not flags.FULL_REFRESH -%}
        {%- for name in names -%}
            {%- set node = graph.nodes.get('model.' ~ project_name ~ '.' ~ name) -%}
            {%- do validate_build(node, last_build(name)) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{% macro validate_build(node, build) %}
    {#- Whether this model may be built incrementally on what its last build left. -#}
    {%- if build is none -%}
        {{- return(none) -}}
    {%- endif -%}
    {%- if as_of_date_value() < build.as_of_date and not var('backfill') -%}
        {%- do raise_bad_setting(
            'as_of_date', as_of_date_value(),
            'a date not before ' ~ build.as_of_date ~ ', the date of the last build of '
            ~ node.name ~ ' (or set backfill to true, or use --full-refresh)'
        ) -%}
    {%- endif -%}
    {%- for name, value in model_settings(node).items() -%}
        {%- if name in build.settings and build.settings[name] != value -%}
            {%- do raise_bad_setting(
                name, value,
                build.settings[name] | tojson ~ ', with which ' ~ node.name
                ~ ' was built; a change needs --full-refresh'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}
