{% macro postgres__create_table_as(temporary, relation, sql) -%}
    {#-
        A table with a contract is created from its query, and not first empty and then by
        an insert, as dbt would: PostgreSQL plans an insert without parallel workers. What
        the contract says of nulls is checked before the indexes are built.
        Text in stored relations collates as "C": ids compare as bytes, the same on
        every operating system, and several times faster than by locale. Contracts keep
        the plain data type, which is what the documentation shows.
    -#}
    {%- set is_contracted = config.get('contract').enforced and not temporary -%}
    create {{ 'temporary ' if temporary }}table {{ relation }} as
    {%- if is_contracted %}
    {{- get_assert_columns_equivalent(sql) }}
    select
        {%- for column in model['columns'].values() %}
        cast(built.{{ column.name }} as {{ column.data_type }})
        {%- if column.data_type == 'text' %} collate "C"{% endif %} as {{ column.name }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from (
        {{ sql }}
    ) as built;
    {%- elif temporary and graph.get('unchanged', {}).get(model.name) %}
    select existing.* from {{ this }} as existing where false;
    {%- else %}
    (
        {{ sql }}
    );
    {%- endif %}
{%- endmacro %}

{% macro postgres__create_indexes(relation) %}
    {#- What follows the rows into a new table: the contract's constraints, then indexes. -#}
    {%- if config.get('contract').enforced -%}
        {%- set clauses = [] -%}
        {%- for column in model['columns'].values() -%}
            {%- for constraint in column.constraints -%}
                {%- if constraint.type == 'not_null' -%}
                    {%- do clauses.append('alter column ' ~ column.name ~ ' set not null') -%}
                {%- elif constraint.type == 'check' -%}
                    {%- do clauses.append(
                        'add constraint ' ~ this.identifier ~ '_' ~ column.name
                        ~ '_check check (' ~ constraint.expression ~ ')'
                    ) -%}
                {%- else -%}
                    {%- do exceptions.raise_compiler_error(
                        this ~ ': a contract here knows not_null and check, not '
                        ~ constraint.type
                    ) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- if clauses -%}
            {%- do run_query('alter table ' ~ relation ~ ' ' ~ clauses | join(', ')) -%}
        {%- endif -%}
    {%- endif -%}
    {%- do default__create_indexes(relation) -%}
{% endmacro %}
