{% materialization view, adapter='postgres' %}
    {#-
        A view whose SQL is what it was is left alone. dbt would replace it by drop and
        rename: that waits for its readers and makes them wait, takes the views that
        depend on it away until they are built in turn, and seconds from every night.
    -#}
    {%- set digest = local_md5(sql ~ config.get('contract')) -%}
    {%- if is_view_unchanged(digest) -%}
        {%- call noop_statement('main', 'VIEW UNCHANGED') -%}
            {{ sql }}
        {%- endcall -%}
        {{- return({'relations': [this.incorporate(type='view')]}) -}}
    {%- endif -%}
    {%- set built = dbt.materialization_view_default() -%}
    {%- call statement('remember_view', auto_begin=true) -%}
        {{ remember_view_sql(digest) }}
    {%- endcall -%}
    {%- do adapter.commit() -%}
    {{- return(built) -}}
{% endmaterialization %}

{% macro is_view_unchanged(digest) %}
    {%- if flags.FULL_REFRESH or pre_hooks or post_hooks -%}
        {{- return(false) -}}
    {%- endif -%}
    {%- set found = run_query(
        "select 1 as found from " ~ views_relation() ~ " where view_name = '" ~ this.identifier
        ~ "' and digest = '" ~ digest ~ "' and view_oid = to_regclass('"
        ~ this.include(database=false) ~ "')"
    ) -%}
    {{- return(found.rows | length > 0) -}}
{% endmacro %}

{% macro remember_view_sql(digest) %}
    insert into {{ views_relation() }} as known (view_name, view_oid, digest)
    values (
        '{{ this.identifier }}',
        to_regclass('{{ this.include(database=false) }}'),
        '{{ digest }}'
    )
    on conflict (view_name) do update set
        view_oid = excluded.view_oid,
        digest = excluded.digest
{% endmacro %}
