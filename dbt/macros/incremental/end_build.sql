{% macro end_build() %}
    {#-
        Post-hook of every model with the strategy replace_affected: remembers, in the
        model's transaction, what it has consumed and what it is a build of.
    -#}
    {%- if execute -%}
        {{- return(remember_build_sql()) -}}
    {%- endif -%}
{% endmacro %}

{% macro remember_build_sql() %}
    {%- set meta = config.get('meta') or {} -%}
    {%- if is_incremental() %}
    delete from {{ consumed_relation() }} as consumed
    using {{ changes() }} as changes
    where consumed.input = changes.input and consumed.input_key = changes.input_key;
    insert into {{ consumed_relation() }} (input, input_key, version, student_id, from_date)
    select input, input_key, version, student_id, from_date
    from {{ changes() }}
    where is_current;
    {%- else %}
    drop view {{ changes() }};
    {%- if meta.get('revisions') %}
    {#- The strategy does not run when a table is built anew; then every key is new. #}
    alter table {{ revisions_relation() }}
    drop constraint if exists {{ model.name }}__revisions_pkey;
    insert into {{ revisions_relation() }} (key, revision)
    {{ new_revisions_sql(this) }};
    alter table {{ revisions_relation() }}
    add constraint {{ model.name }}__revisions_pkey primary key (key);
    {%- endif %}
    {%- endif %}
    {#-
        A plan made for an empty or a small table is slow on what was just filled, and the
        next model reads it before PostgreSQL would analyze it by itself.
    -#}
    {%- if is_incremental() %}
    do $$
    begin
        if (select count(*) from {{ changes() }}) * 10
            > (select count(*) from {{ consumed_relation() }}) then
            analyze {{ this }};
            analyze {{ consumed_relation() }};
            {%- if meta.get('revisions') %}
            analyze {{ revisions_relation() }};
            {%- endif %}
        end if;
    end $$;
    {%- else %}
    analyze {{ this }};
    {%- if meta.get('revisions') %}
    analyze {{ revisions_relation() }};
    {%- endif %}
    {%- endif %}
    insert into {{ model_builds_relation() }} as builds (
        model, as_of_date, settings, built_at, invocation_id
    )
    values (
        '{{ model.name }}',
        {{ as_of_date() }},
        '{{ model_settings(model) | tojson }}',
        clock_timestamp(),
        '{{ invocation_id }}'
    )
    on conflict (model) do update set
        as_of_date = excluded.as_of_date,
        settings = excluded.settings,
        built_at = excluded.built_at,
        invocation_id = excluded.invocation_id;
    {{- remember_mark_sql() }}
    {{- remember_backfill_sql() }}
    {%- if not is_incremental() %}
    {{ keep_replaced_rows_sql(none) }}
    {%- endif %}
{% endmacro %}
