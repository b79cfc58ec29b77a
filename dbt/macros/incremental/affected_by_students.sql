{% macro affected_by_students(is_full) %}
    {#-
        Every student of a change, whatever its day: for models that hold the whole of a
        student, the days after as_of_date included.
    -#}
    select distinct student_id from {{ changes() }} where student_id is not null
{% endmacro %}
