{% macro state_schema() %}
    {{- return(target.schema ~ '_state') -}}
{% endmacro %}

{% macro create_state() %}
    {#-
        The schema and tables that say what each model of this run has consumed. Before
        the first model: two threads that create a schema together collide, and a model
        locks its table before it reads anything (see begin_snapshot).
    -#}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
        {{ lock_until_commit(state_schema()) }};
        {#- Asked first: even where there is nothing to do, it takes a privilege on the database. -#}
        {%- if not adapter.check_schema_exists(target.database, state_schema()) %}
        create schema if not exists {{ state_schema() }};
        {%- endif %}
        create table if not exists {{ views_relation() }} (
            view_name text primary key,
            view_oid oid not null,
            digest text not null
        );
        create table if not exists {{ marks_relation() }} (
            model text primary key,
            mark text not null
        );
        {{- create_backfill_state_sql() }}
        {%- for name in selected_models() %}
        create table if not exists {{ consumed_relation(name) }} (
            input text not null,
            input_key {{ bytewise('text') }} not null,
            version text not null,
            student_id {{ bytewise('text') }},
            from_date date,
            primary key (input, input_key)
        );
        {%- set node = graph.nodes['model.' ~ project_name ~ '.' ~ name] %}
        {%- if (node.config.get('meta') or {}).get('revisions') %}
        create table if not exists {{ revisions_relation(name) }} (
            key {{ bytewise('text') }} primary key,
            revision bigint not null
        );
        {%- endif %}
        {%- endfor %}
        {%- for node in graph.nodes.values() if (node.config.get('meta') or {}).get('superseded_columns') %}
        {{- create_superseded_sql(node) }}
        {%- endfor %}
    {%- endif -%}
{% endmacro %}

{% macro views_relation() %}
    {#- What each view was built from. -#}
    {{- return(state_schema() ~ '.built_views') -}}
{% endmacro %}

{% macro consumed_relation(name=none) %}
    {#- What a model consumed in its last build: one row per input and key. -#}
    {{- return(state_schema() ~ '.' ~ (name or model.name)) -}}
{% endmacro %}

{% macro revisions_relation(name=none) %}
    {#- The transaction that last rewrote any row of a key of a model (meta.revisions). -#}
    {{- return(state_schema() ~ '.' ~ (name or model.name) ~ '__revisions') -}}
{% endmacro %}

{% macro changes() %}
    {{- return('changes__' ~ model.name) -}}
{% endmacro %}

{% macro affected() %}
    {{- return('affected__' ~ model.name) -}}
{% endmacro %}

{% macro affected_sessions() %}
    {{- return(affected()) -}}
{% endmacro %}

{% macro affected_students() %}
    {{- return(affected()) -}}
{% endmacro %}

{% macro period_start(date) %}
    {#- The first day of the period that a row of this model covers (meta.period). -#}
    {%- set period = (config.get('meta') or {}).get('period', 'day') -%}
    {{- return(week_start(date) if period == 'week' else date) -}}
{% endmacro %}

{% macro parent_relations(node) %}
    {#- The relations of the models and snapshots that a model reads. -#}
    {%- set relations = [] -%}
    {%- for unique_id in node.depends_on.nodes -%}
        {%- set parent = graph.nodes.get(unique_id) -%}
        {%- if parent and parent.config.materialized != 'ephemeral' -%}
            {%- do relations.append(
                api.Relation.create(parent.database, parent.schema, parent.alias)
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {{- return(relations) -}}
{% endmacro %}
