{% macro optional_source(source_name, table_name) %}
    {#-
        The source's relation where the table exists, else an empty select with the
        columns and data types that the source's YAML declares.
    -#}
    {%- set relation = source(source_name, table_name) -%}
    {%- if not execute or relation.type == 'cte' -%}
        {{- return(relation) -}}
    {%- endif -%}
    {%- set found = adapter.get_relation(
        database=relation.database, schema=relation.schema, identifier=relation.identifier
    ) -%}
    {%- if found -%}
        {{- return(relation) -}}
    {%- endif -%}
    {%- set node = graph.sources['source.' ~ project_name ~ '.' ~ source_name ~ '.' ~ table_name] -%}
    {%- set columns = [] -%}
    {%- for column in node.columns.values() -%}
        {%- do columns.append('cast(null as ' ~ column.data_type ~ ') as ' ~ column.name) -%}
    {%- endfor -%}
    {{- return(
        '(select ' ~ columns | join(', ') ~ ' where false)'
    ) -}}
{% endmacro %}
