{# Condition that keeps the students whose rows this build replaces; all in a full one. #}
{% macro is_affected_student(student_id) -%}
    {%- if is_incremental() -%}
        {{ student_id }} in (select student_id from {{ affected_students() }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}
