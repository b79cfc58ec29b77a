{% macro superseded_relation(name=none) %}
    {#-
        Rows of changed sessions as they were when the model that adds them up
        (int_item_days__summarized) last read them: what it has to take away again. Only
        columns that it needs (meta.superseded_columns), and the revision of the session.
    -#}
    {{- return(state_schema() ~ '.' ~ (name or model.name) ~ '__superseded') -}}
{% endmacro %}

{% macro create_superseded_sql(node) %}
    create table if not exists {{ superseded_relation(node.name) }} (
        revision bigint not null
        {%- for column in node.config.meta.superseded_columns %},
        {%- set data_type = node.columns[column].data_type %}
        {{ column }} {{ bytewise(data_type) if data_type == 'text' else data_type }}
        {%- endfor %}
    );
{% endmacro %}

{% macro keep_superseded_sql(target_relation, temp_relation) %}
    {#-
        Before rows are replaced. Of a session that is kept already, the rows of the
        revision that was read last are those.
    -#}
    {%- set columns = (config.get('meta') or {})['superseded_columns'] %}
    insert into {{ superseded_relation() }} (revision, {{ columns | join(', ') }})
    select revisions.revision, existing.{{ columns | join(', existing.') }}
    from (
        select session_id from {{ affected() }}
        union
        select session_id from {{ temp_relation }}
    ) as rewritten
    inner join {{ revisions_relation() }} as revisions
        on rewritten.session_id = revisions.key
    inner join {{ target_relation }} as existing
        on rewritten.session_id = existing.session_id
    where
        rewritten.session_id not in (
            select kept.session_id from {{ superseded_relation() }} as kept
        );
    analyze {{ superseded_relation() }};
{% endmacro %}

{% macro forget_superseded(name) %}
    {#- Post-hook of the model that reads them. -#}
    {%- if execute -%}
        delete from {{ superseded_relation(name) }}
    {%- endif -%}
{% endmacro %}
