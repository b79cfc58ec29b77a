{% macro built_as_of(name) %}
    {#- The day up to which a model was last built, apart from what is asked of this run. -#}
    {%- set build = last_build(name) -%}
    {{- return(as_of_date() if build is none else date_literal(build.as_of_date)) -}}
{% endmacro %}

{% macro changed_since(name, input) %}
    {#-
        Select of what changed, came or went in an input since a model was built from it:
        for tests that compare a model with what it rests on.
    -#}
    select
        coalesce(inputs.input_key, consumed.input_key) as input_key,
        inputs.student_id,
        consumed.student_id as student_before
    from {{ ref(input) }} as inputs
    full join (
        select *
        from {{ consumed_relation(name) }}
        where input = '{{ input }}'
    ) as consumed
        on inputs.input_key = consumed.input_key
    where inputs.version is distinct from consumed.version
{% endmacro %}

{% macro students_changed_since(models_and_inputs) %}
    {#-
        Select of the students whose attempts may differ from those that models were built
        from: fct_attempts may be ahead of fct_sessions, and that of each of the models.
    -#}
    {%- for relation in [ref('fct_attempts'), ref('fct_sessions')] %}
    select relation.student_id
    from ({{ changed_since('fct_sessions', 'int_inputs__attempts') }}) as changed
    inner join {{ relation }} as relation
        on changed.input_key = relation.session_id
    union
    {%- endfor %}
    {%- for name, input in models_and_inputs %}
    {%- for column in ['student_id', 'student_before'] %}
    select changed.{{ column }} as student_id
    from ({{ changed_since(name, input) }}) as changed
    {%- if not loop.last %}
    union
    {%- endif %}
    {%- endfor %}
    {%- if not loop.last %}
    union
    {%- endif %}
    {%- endfor %}
{% endmacro %}
