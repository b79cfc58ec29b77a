{# A mark says what relations hold, well enough to tell later that they hold the same: then
   a build need not read them. An engine without such means has none, and reads. #}


{% macro mark_of(relations) %}
    {{- return(adapter.dispatch('mark_of')(relations)) -}}
{% endmacro %}

{% macro default__mark_of(relations) %}
    {{- return(none) -}}
{% endmacro %}

{# What the relations are made of, how many rows each table has, a transaction before which
   every other one had ended, and those builds of models that had ended although one that
   began earlier had not: of two threads, one is mostly at work. Each build leaves a row
   among the marks, which tells its transaction. #}
{% macro postgres__mark_of(relations) %}
    {%- set behind = tables_behind(relations) -%}
    {%- if not behind.is_known -%}
        {{- return(none) -}}
    {%- endif -%}
    {%- set counts = [] -%}
    {%- for table in behind.tables -%}
        {%- do counts.append("(select count(*) from " ~ table ~ ")") -%}
    {%- endfor -%}
    {%- set row = run_query(
        "select cast(pg_snapshot_xmin(pg_current_snapshot()) as text)"
        ~ ", cast(jsonb_build_array(" ~ counts | join(', ') ~ ") as text)"
        ~ ", (select cast(coalesce(jsonb_agg(cast(xmin as text)), '[]') as text) from "
        ~ marks_relation() ~ " where age(xmin) <= age(cast(pg_snapshot_xmin("
        ~ "pg_current_snapshot()) as xid)))"
    ).rows[0] -%}
    {{- return({
        'definition': behind.definition,
        'ended_before': row[0],
        'row_counts': fromjson(row[1]),
        'ended': fromjson(row[2]),
    }) -}}
{% endmacro %}


{% macro is_as_marked(relations, mark) %}
    {{- return(adapter.dispatch('is_as_marked')(relations, mark)) -}}
{% endmacro %}

{% macro default__is_as_marked(relations, mark) %}
    {{- return(false) -}}
{% endmacro %}

{# Without a row of a transaction that had not ended then, all rows are old ones; and as
   many as there were, so that none is gone. An updated row is a new one. Numbers of
   transactions come round after four thousand million. #}
{% macro postgres__is_as_marked(relations, mark) %}
    {%- set behind = tables_behind(relations) -%}
    {%- if not behind.is_known or behind.definition | string != mark.definition | string -%}
        {{- return(false) -}}
    {%- endif -%}
    {%- set conditions = [
        "cast(cast(pg_snapshot_xmax(pg_current_snapshot()) as text) as bigint) - "
        ~ mark.ended_before ~ " < 1000000000"
    ] -%}
    {%- set is_old = "age(xmin) > (select age(cast(cast('" ~ mark.ended_before
        ~ "' as xid8) as xid))) or xmin = any(cast('{" ~ mark.get('ended', []) | join(',')
        ~ "}' as xid[]))" -%}
    {%- set looks = [] -%}
    {%- for table in behind.tables -%}
        {%- do looks.append({
            'pages': behind.pages[loop.index0],
            'condition': "(select count(*) = " ~ mark.row_counts[loop.index0]
                ~ " and coalesce(bool_and(" ~ is_old ~ "), true) from " ~ table ~ ")",
        }) -%}
    {%- endfor -%}
    {#- The first that differs settles it, and a small table is looked through first. -#}
    {%- do conditions.extend(looks | sort(attribute='pages') | map(attribute='condition')) -%}
    {{- return(run_query("select " ~ conditions | join("\n    and ")).rows[0][0]) -}}
{% endmacro %}

{# The tables that views rest on, by way of other views, how large each is about, and a
   digest of how. Not known are tables that this role may not read, and what is no table. #}
{% macro tables_behind(relations) %}
    {%- set names = [] -%}
    {%- for relation in relations -%}
        {%- do names.append("'" ~ relation.include(database=false) ~ "'") -%}
    {%- endfor -%}
    {%- set row = run_query("
        with recursive behind (relation_id) as (
            select cast(to_regclass(names.name) as oid)
            from unnest(array[" ~ names | join(', ') ~ "]) as names (name)
            union
            select depends.refobjid
            from behind
            inner join pg_rewrite as rules on rules.ev_class = behind.relation_id
            inner join pg_depend as depends
                on
                    depends.classid = cast('pg_rewrite' as regclass)
                    and depends.objid = rules.oid
                    and depends.refclassid = cast('pg_class' as regclass)
        )
        select
            coalesce(bool_and(
                relations.relkind = 'v'
                or relations.relkind in ('r', 'p', 'm')
                and has_table_privilege(relations.oid, 'select')
            ), false),
            md5(string_agg(
                relations.oid || coalesce(pg_get_viewdef(relations.oid), ''),
                ' ' order by relations.oid
            )),
            cast(coalesce(
                jsonb_agg(cast(cast(relations.oid as regclass) as text) order by relations.oid)
                filter (where relations.relkind <> 'v'),
                '[]'
            ) as text),
            cast(coalesce(
                jsonb_agg(relations.relpages order by relations.oid)
                filter (where relations.relkind <> 'v'),
                '[]'
            ) as text)
        from behind
        inner join pg_class as relations on relations.oid = behind.relation_id
    ").rows[0] -%}
    {{- return({
        'is_known': row[0],
        'definition': row[1],
        'tables': fromjson(row[2]),
        'pages': fromjson(row[3]),
    }) -}}
{% endmacro %}
