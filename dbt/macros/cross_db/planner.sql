{# Planner hints, for the rest of the transaction. A model that joins its own CTEs gives
   the planner no statistics: it expects one row, nests loops, and a night of seconds
   takes hours. Hash joins cost little more where loops would have been right. #}


{% macro avoid_nested_loops() %}
    {{- return(adapter.dispatch('avoid_nested_loops')()) -}}
{% endmacro %}

{% macro postgres__avoid_nested_loops() %}
    {{- return("set local enable_nestloop = off") -}}
{% endmacro %}


{% macro allow_nested_loops() %}
    {{- return(adapter.dispatch('allow_nested_loops')()) -}}
{% endmacro %}

{% macro postgres__allow_nested_loops() %}
    {{- return("set local enable_nestloop = on") -}}
{% endmacro %}


{# Around a statement that reads all of each table: for half of one the planner would take
   the way through an index, which is several times as long. #}
{% macro reading_whole_tables() %}
    {{- return(adapter.dispatch('reading_whole_tables')(caller())) -}}
{% endmacro %}

{% macro default__reading_whole_tables(statement) %}
    {{- return(statement) -}}
{% endmacro %}

{% macro postgres__reading_whole_tables(statement) -%}
    set local enable_indexscan = off;
    {{ statement }}
    set local enable_indexscan = on;
{%- endmacro %}


{# Around a select, as the subquery of a FROM: every column is computed once a row, however
   often it is used outside. PostgreSQL dissolves a subquery and copies its expressions to
   each use, unless it begins with WITH. OFFSET 0 would do too, but lets no filter through
   to an index; so would a lateral subquery, which only one process can run. #}
{% macro computed_once() %}
    {{- return(adapter.dispatch('computed_once')(caller())) -}}
{% endmacro %}

{% macro postgres__computed_once(query) -%}
    (
        with computed as (
            {{ query }}
        )

        select * from computed
    )
{%- endmacro %}


{# Condition that an id is one of those that a query finds. They are read first: unlike a
   join, this reaches an index, also one inside of a view that is not dissolved. Ids are
   stored (`is_stored`), or a source's. #}
{% macro is_one_of(id, query, is_stored=true) %}
    {{- return(adapter.dispatch('is_one_of')(id, query, is_stored)) -}}
{% endmacro %}

{# Stored ids collate as "C", which would prevail over the source's, and then its index
   could not be used. #}
{% macro postgres__is_one_of(id, query, is_stored) %}
    {%- set ids = 'array(' ~ query ~ ')' -%}
    {%- if not is_stored -%}
        {%- set ids = 'cast(' ~ ids ~ ' as text[]) collate "default"' -%}
    {%- endif -%}
    {{- return(id ~ ' = any(' ~ ids ~ ')') -}}
{% endmacro %}


{# The same, of an id of a source and a relation whose column has the same name. #}
{% macro is_among(id, relation) %}
    {{- return(is_one_of(id, 'select ' ~ id ~ ' from ' ~ relation, is_stored=false)) -}}
{% endmacro %}
