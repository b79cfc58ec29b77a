{% macro affected_by_student_periods(is_full) %}
    {#-
        For models of running sums, which hold the whole of a student in periods: every
        student of a change, the days after as_of_date included, and from which period on
        it is built anew: the last one that begins before the change. Its sums stand; when
        it ends may be new.
    -#}
    {%- if is_full %}
    select distinct
        student_id,
        date '0001-01-01' as from_date
    from {{ changes() }}
    where student_id is not null
    {%- else %}
    select
        changed.student_id,
        coalesce(max(existing.valid_from), date '0001-01-01') as from_date
    from (
        select
            student_id,
            min(coalesce(from_date, date '0001-01-01')) as from_date
        from {{ changes() }}
        where student_id is not null
        group by student_id
    ) as changed
    left join {{ this }} as existing
        on
            changed.student_id = existing.student_id
            and changed.from_date > existing.valid_from
    group by changed.student_id
    {%- endif %}
{% endmacro %}

{% macro affected_by_students(is_full) %}
    {#-
        For models whose rows of a student are built together: every student of a change,
        or everybody for a change without one.
    -#}
    select distinct student_id from {{ changes() }} where student_id is not null
    {%- if not is_full %}
    union
    select student_id
    from {{ consumed_relation() }}
    where
        student_id is not null
        and exists (select 1 from {{ changes() }} where student_id is null)
    {%- endif %}
{% endmacro %}
