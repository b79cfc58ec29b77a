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


{# For a full build that numbers rows of a student: reads the source by its index on the
   student, and sorts a student's rows in memory instead of everything on disk. Without
   such an index everything is sorted nevertheless. #}
{% macro prefer_index_order() %}
    {{- return(adapter.dispatch('prefer_index_order')()) -}}
{% endmacro %}

{% macro postgres__prefer_index_order() %}
    {{- return('' if is_incremental() else 'set local enable_sort = off') -}}
{% endmacro %}
