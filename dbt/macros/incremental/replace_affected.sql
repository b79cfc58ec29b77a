{% macro get_incremental_replace_affected_sql(arguments) %}
    {#-
        The incremental strategy: deletes every row that a change can have touched, and
        inserts what the model found for them. What no longer exists stays deleted.
    -#}
    {%- set target_relation = arguments['target_relation'] -%}
    {%- set temp_relation = arguments['temp_relation'] -%}
    {%- set columns = get_quoted_csv(arguments['dest_columns'] | map(attribute='name')) -%}
    {%- set meta = config.get('meta') or {} -%}
    {#- What a model chose for its own query says nothing of the deletes by key. -#}
    {{ allow_nested_loops() }};
    analyze {{ temp_relation }};
    {% if meta.get('superseded_columns') %}
    {{ keep_superseded_sql(target_relation, temp_relation) }}
    {% endif %}
    {% if meta.get('date_column') %}
    {{ delete_affected_days_sql(target_relation, meta) }}
    {% else %}
    {%- set key_columns = meta.get('key_columns', ['session_id']) %}
    delete from {{ target_relation }} as existing
    using {{ affected() }} as affected
    where
        {% for column in key_columns -%}
        existing.{{ column }} = affected.{{ column }}{{ ' and ' if not loop.last }}
        {%- endfor %}
        {%- if meta.get('from_column') %}
        and existing.{{ meta['from_column'] }} >= affected.from_date
        {%- endif %};
    {% endif %}
    delete from {{ target_relation }} as existing
    using {{ temp_relation }} as built
    where
        {% for column in arguments['unique_key'] -%}
        existing.{{ column }} = built.{{ column }}{{ ' and ' if not loop.last }}
        {%- endfor %};
    {% if meta.get('revisions') %}
    delete from {{ revisions_relation() }} as existing
    using {{ affected() }} as affected
    where existing.key = affected.session_id;
    {{ insert_revisions_sql(temp_relation) }}
    {% endif %}
    {{- keep_replaced_rows_sql(temp_relation) }}
    {#- Last, because dbt reports the rows of the last statement. #}
    insert into {{ target_relation }} ({{ columns }})
    select {{ columns }} from {{ temp_relation }};
{% endmacro %}

{% macro delete_affected_days_sql(target_relation, meta) %}
    {%- set date_column = meta['date_column'] -%}
    {%- set student_column = meta.get('student_column', 'student_id') -%}
    delete from {{ target_relation }} as existing
    using {{ affected() }} as affected
    where
        existing.{{ student_column }} = affected.student_id
        and existing.{{ date_column }} >= {{ period_start('affected.from_date') }};
    delete from {{ target_relation }} as existing
    where
        existing.{{ date_column }}
        >= {{ period_start(add_days(previous_as_of_date(), 1)) }};
{% endmacro %}

{% macro insert_revisions_sql(relation) %}
    insert into {{ revisions_relation() }} as existing (key, revision)
    {{ new_revisions_sql(relation) }}
    on conflict (key) do update set revision = excluded.revision;
{% endmacro %}

{% macro new_revisions_sql(relation) %}
    select
        built.session_id,
        {{ transaction_number() }}
    from (select distinct session_id from {{ relation }}) as built
{% endmacro %}
