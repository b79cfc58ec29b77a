{% macro begin_whole_build(reads=none) %}
    {#-
        Pre-hook of models with the strategy replace_differing: leaves the model alone that
        would read the same by the same SQL, which names the day and the settings. `reads`
        names the models it reads, where it also waits for others.
    -#}
    {%- set named = [] -%}
    {%- for name in reads or [] -%}
        {%- do named.append(ref(name)) -%}
    {%- endfor -%}
    {%- if execute -%}
        {%- set relations = named or parent_relations(model) -%}
        {%- set compiled = local_md5(model.compiled_code) -%}
        {%- set is_unchanged = is_incremental() and is_marked_unchanged(relations, compiled) -%}
        {%- do graph.setdefault('unchanged', {}).update({model.name: is_unchanged}) -%}
        {%- if not is_unchanged -%}
            {%- do take_mark(relations, compiled) -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}

{% macro end_whole_build() %}
    {%- if execute -%}
        {{- return(remember_mark_sql()) -}}
    {%- endif -%}
{% endmacro %}

{% macro get_incremental_replace_differing_sql(arguments) %}
    {#-
        The incremental strategy of small models that are computed whole: the rows that
        differ are replaced, by unique_key. The table itself stays, where dbt's `table`
        would put another in its place and drop every view on it, the readers' included.
    -#}
    {%- set target_relation = arguments['target_relation'] -%}
    {%- set temp_relation = arguments['temp_relation'] -%}
    {%- set columns = arguments['dest_columns'] | map(attribute='quoted') | list -%}
    {%- if graph.get('unchanged', {}).get(model.name) %}
    select 1 from {{ target_relation }} where false;
    {%- else %}
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
    {%- endif %}
{% endmacro %}

{% macro same_key(left, right, columns) %}
    {%- for column in columns -%}
        {{ left }}.{{ column }} = {{ right }}.{{ column }}{{ ' and ' if not loop.last }}
    {%- endfor -%}
{% endmacro %}
