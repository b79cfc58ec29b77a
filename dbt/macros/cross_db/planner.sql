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


{# Condition that a value is among those of a query, which is run first: unlike a join, it
   reaches an index inside of a view that is not dissolved. #}
{% macro is_among(value, query) %}
    {{- return(adapter.dispatch('is_among')(value, query)) -}}
{% endmacro %}

{% macro postgres__is_among(value, query) %}
    {{- return(value ~ ' = any(array(' ~ query ~ '))') -}}
{% endmacro %}
