{# Condition that keeps the students of a relation; all of them in a full build, where
   the relation names everybody and the look-up would only cost time. #}
{% macro is_student_of(student_id, relation) -%}
    {%- if is_incremental() -%}
        {{ student_id }} in (select {{ relation }}.student_id from {{ relation }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}
