{% macro get_incremental_replace_differing_sql(arguments) %}
    {#-
        The incremental strategy of small models that are computed whole: the rows that
        differ are replaced, by unique_key. The table itself stays, where dbt's `table`
        would put another in its place and drop every view on it, the readers' included.
    -#}
    {%- set target_relation = arguments['target_relation'] -%}
    {%- set temp_relation = arguments['temp_relation'] -%}
    {%- set columns = arguments['dest_columns'] | map(attribute='quoted') | list -%}
    analyze {{ temp_relation }};
    lock table {{ target_relation }} in share row exclusive mode;
    delete from {{ target_relation }} as existing
    where
        not exists (
            select 1
            from {{ temp_relation }} as built
            where
                {{ same_key('existing', 'built', arguments['unique_key']) }}
                and row(existing.{{ columns | join(', existing.') }})
                is not distinct from row(built.{{ columns | join(', built.') }})
        );
    insert into {{ target_relation }} ({{ columns | join(', ') }})
    select {{ columns | join(', ') }}
    from {{ temp_relation }} as built
    where
        not exists (
            select 1
            from {{ target_relation }} as existing
            where {{ same_key('existing', 'built', arguments['unique_key']) }}
        );
{% endmacro %}

{% macro same_key(left, right, columns) %}
    {%- for column in columns -%}
        {{ left }}.{{ column }} = {{ right }}.{{ column }}{{ ' and ' if not loop.last }}
    {%- endfor -%}
{% endmacro %}
