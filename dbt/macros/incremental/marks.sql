{# A model that reads what it read in its last build, as of the same day, is left alone:
   several jobs of a night build the same models, and comparing every key each time would
   take most of their time. #}


{% macro marks_relation() %}
    {{- return(state_schema() ~ '.marks') -}}
{% endmacro %}

{% macro is_marked_unchanged(relations, compiled='') %}
    {#- Whether this model's last build read the same from these relations, in the same SQL. -#}
    {%- set rows = run_query(
        "select mark from " ~ marks_relation() ~ " where model = '" ~ model.name ~ "'"
    ).rows -%}
    {%- if not rows or is_to_be_backfilled() -%}
        {{- return(false) -}}
    {%- endif -%}
    {%- set mark = fromjson(rows[0][0]) -%}
    {{- return(mark.compiled == compiled and is_as_marked(relations, mark)) -}}
{% endmacro %}

{% macro take_mark(relations, compiled='') %}
    {#- Before this model reads: what comes later differs from the mark, and is found. -#}
    {%- set mark = mark_of(relations) -%}
    {%- if mark -%}
        {%- do mark.update({'compiled': compiled}) -%}
    {%- endif -%}
    {%- do graph.setdefault('marks', {}).update({model.name: mark}) -%}
{% endmacro %}

{% macro remember_mark_sql() %}
    {#- Nothing for a model that was left alone: its mark still holds. -#}
    {%- if model.name in graph.get('marks', {}) %}
    {%- set mark = graph['marks'][model.name] %}
    delete from {{ marks_relation() }} where model = '{{ model.name }}';
    {%- if mark %}
    insert into {{ marks_relation() }} (model, mark)
    values ('{{ model.name }}', '{{ tojson(mark) | replace("'", "''") }}');
    {%- endif %}
    {%- endif %}
{% endmacro %}
