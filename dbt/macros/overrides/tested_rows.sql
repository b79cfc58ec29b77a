{% macro replaced_relation(name=none) %}
    {#- The rows that the last build of a model wrote, kept while test_scope is replaced. -#}
    {{- return(api.Relation.create(
        target.database, state_schema(), (name or model.name) ~ '__replaced'
    )) -}}
{% endmacro %}

{% macro replaced_rows(name) %}
    {#-
        That table where it exists, else none. Looked up each time: dbt remembers what a
        schema held when it first looked, and these tables come and go during a run.
    -#}
    {%- set found = run_query(
        "select 1 from information_schema.tables where table_schema = '" ~ state_schema()
        ~ "' and table_name = '" ~ replaced_relation(name).identifier ~ "'"
    ).rows -%}
    {{- return(replaced_relation(name) if found | length else none) -}}
{% endmacro %}

{% macro keep_replaced_rows_sql(rows) %}
    {#- `rows` is none when the table was built anew: then all of it is to be tested. -#}
    drop table if exists {{ replaced_relation() }};
    {%- if rows is not none and test_scope() == 'replaced' %}
    create table {{ replaced_relation() }} as select * from {{ rows }};
    analyze {{ replaced_relation() }};
    {%- endif %}
{% endmacro %}

{% macro get_where_subquery(relation) -%}
    {#-
        What a generic test reads in place of a model. dbt's own macro knows the test's
        `where`; here a night also tests only what the night has written.
    -#}
    {%- set conditions = [] -%}
    {%- if config.get('where') -%}
        {%- do conditions.append(config.get('where')) -%}
    {%- endif -%}
    {%- set tested = relation -%}
    {%- if execute and test_scope() == 'replaced' -%}
        {%- set node = graph.nodes.get('model.' ~ project_name ~ '.' ~ relation.identifier) -%}
        {%- set view_of = ((node.config.get('meta') or {}) if node else {}).get('tested_by') -%}
        {%- if view_of -%}
            {%- set condition = replaced_rows_condition(view_of) -%}
            {%- if condition -%}
                {%- do conditions.append(condition) -%}
            {%- endif -%}
        {%- elif node and node.config.incremental_strategy == 'replace_affected' -%}
            {%- set tested = replaced_rows(node.name) or relation -%}
        {%- endif -%}
    {%- endif -%}
    {%- if conditions -%}
        {{- return(
            '(select * from ' ~ tested ~ ' where (' ~ conditions | join(') and (') ~ ')) as tested'
        ) -}}
    {%- endif -%}
    {{- return(tested) -}}
{%- endmacro %}

{% macro replaced_rows_condition(view_of) %}
    {#-
        The rows of a view that rest on what its table was given last; none when that table
        was built anew. `view_of` is the view's meta.tested_by: the day of the build
        (`day`), its week (`week`), or the sessions replaced in a model (`sessions_of`).
    -#}
    {%- if view_of.get('day') -%}
        {{- return(view_of.day ~ ' = ' ~ as_of_date()) -}}
    {%- elif view_of.get('week') -%}
        {{- return(view_of.week ~ ' = ' ~ week_start(as_of_date())) -}}
    {%- endif -%}
    {%- set replaced = replaced_rows(view_of.sessions_of) -%}
    {{- return(
        'session_id in (select replaced.session_id from ' ~ replaced ~ ' as replaced)'
        if replaced else none
    ) -}}
{% endmacro %}

{% macro is_session_to_test(session_id, is_stored=true) %}
    {#-
        Condition for tests that go session by session: in a night, the sessions of which
        attempts or rejects were written. Those that lost all they had are left to the week.
    -#}
    {%- if not execute or test_scope() == 'all' -%}
        {{- return('true') -}}
    {%- endif -%}
    {%- set selects = [] -%}
    {%- for name in ['fct_attempts', 'fct_rejected_questions'] -%}
        {%- set replaced = replaced_rows(name) -%}
        {%- if not replaced -%}
            {{- return('true') -}}
        {%- endif -%}
        {%- do selects.append('select replaced.session_id from ' ~ replaced ~ ' as replaced') -%}
    {%- endfor -%}
    {{- return(is_one_of(session_id, selects | join(' union '), is_stored)) -}}
{% endmacro %}
