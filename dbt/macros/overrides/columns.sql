{% macro postgres__get_table_columns_and_constraints() %}
    {#-
        Text in stored relations collates as "C": ids compare as bytes, the same on
        every operating system, and several times faster than by locale. Contracts keep
        the plain data type, which is what the documentation shows.
    -#}
    {%- set columns = adapter.render_raw_columns_constraints(raw_columns=model['columns']) -%}
    {%- set constraints = adapter.render_raw_model_constraints(
        raw_constraints=model['constraints']
    ) -%}
    {%- set definitions = [] -%}
    {%- for column in model['columns'].values() -%}
        {%- set definition = columns[loop.index0] -%}
        {%- if column['data_type'] == 'text' -%}
            {%- set definition = definition ~ ' collate "C"' -%}
        {%- endif -%}
        {%- do definitions.append(definition) -%}
    {%- endfor -%}
    {{- return('(' ~ (definitions + constraints) | join(', ') ~ ')') -}}
{% endmacro %}
