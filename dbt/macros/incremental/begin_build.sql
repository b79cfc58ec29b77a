{% macro begin_build(inputs) %}
    {#-
        Pre-hook of every model with the strategy replace_affected. In the model's own
        transaction, which sees one state of the database from here to its end: waits for
        another build of the same model, refuses what validate_build refuses, and finds
        what changed since this model's last build.
        `ref` outside `execute` is what tells dbt that the model depends on its inputs.
    -#}
    {%- set relations = {} -%}
    {%- for input in inputs -%}
        {%- do relations.update({input: ref(input)}) -%}
    {%- endfor -%}
    {%- if (config.get('meta') or {}).get('affected', 'sessions') in (
        'sessions', 'attempt_sessions'
    ) -%}
        {#- Read by backfilled_sessions. -#}
        {%- do [ref('stg_exam__results'), ref('stg_exam__sessions')] -%}
    {%- endif -%}
    {%- if execute -%}
        {%- do begin_snapshot(consumed_relation(), parent_relations(model)) -%}
        {%- if is_incremental() -%}
            {%- set build = last_build(model.name) -%}
            {%- if build is none -%}
                {%- do exceptions.raise_compiler_error(
                    this ~ ' exists, but ops.model_builds does not know what it was built '
                    ~ 'from. Build it with --full-refresh.'
                ) -%}
            {%- endif -%}
            {%- do validate_build(model, build) -%}
            {%- do validate_unmoved(build) -%}
        {%- endif -%}
        {%- if not is_incremental() -%}
            {%- do take_mark(relations.values() | list) -%}
            {{- return(find_changes_sql(relations, true)) -}}
        {%- endif -%}
        {#- On another day there are deliveries, as good as always; the days that a model
            adds for everybody can come without. -#}
        {%- set has_days = (config.get('meta') or {}).get('date_column') -%}
        {%- if (has_days or build.as_of_date == as_of_date_value())
            and is_marked_unchanged(relations.values() | list) -%}
            {%- set relations = {} -%}
        {%- else -%}
            {%- do take_mark(relations.values() | list) -%}
        {%- endif -%}
        {%- do run_query(find_changes_sql(relations, false)) -%}
        {%- do note_if_nothing_changed(build) -%}
    {%- endif -%}
{% endmacro %}

{% macro note_if_nothing_changed(build) %}
    {#-
        Without an affected key, and with no day to add, a model's query would find nothing
        to replace, by way of reading much: create_table_as leaves it out.
    -#}
    {%- set has_days = (config.get('meta') or {}).get('date_column') -%}
    {%- set is_settled = not has_days or build.as_of_date == as_of_date_value() -%}
    {%- set affected_keys = run_query('select 1 from ' ~ affected() ~ ' limit 1').rows -%}
    {%- do graph.setdefault('unchanged', {}).update({
        model.name: is_settled and not affected_keys
    }) -%}
{% endmacro %}

{% macro find_changes_sql(relations, is_full) %}
    {%- set meta = config.get('meta') or {} -%}
    {%- if is_full %}
    {{ consume_everything_sql(relations) }}
    {%- else %}
    create temporary table {{ changes() }} (
        input text not null,
        input_key text not null,
        version text not null,
        student_id text,
        from_date date,
        is_current boolean not null
    ) on commit drop;
    {% for input, relation in relations.items() %}
    {%- call reading_whole_tables() %}
    insert into {{ changes() }}
    with found as (
        select
            current_inputs.input_key as current_key,
            current_inputs.version as current_version,
            current_inputs.student_id as current_student_id,
            current_inputs.from_date as current_from_date,
            consumed.input_key as consumed_key,
            consumed.version as consumed_version,
            consumed.student_id as consumed_student_id,
            consumed.from_date as consumed_from_date
        from {{ relation }} as current_inputs
        full join (
            select * from {{ consumed_relation() }} where input = '{{ input }}'
        ) as consumed
            on current_inputs.input_key = consumed.input_key
        where
            current_inputs.version is distinct from consumed.version
            or current_inputs.student_id is distinct from consumed.student_id
            or current_inputs.from_date is distinct from consumed.from_date
    )
    select
        '{{ input }}' as input,
        versions.input_key,
        versions.version,
        versions.student_id,
        versions.from_date,
        versions.is_current
    from found
    cross join lateral (
        values
        (current_key, current_version, current_student_id, current_from_date, true),
        (consumed_key, consumed_version, consumed_student_id, consumed_from_date, false)
    ) as versions (input_key, version, student_id, from_date, is_current)
    where versions.input_key is not null;
    {%- endcall %}
    {% endfor %}
    {%- if is_to_be_backfilled() -%}
        {{ backfilled_keys_sql() }}
    {%- endif %}
    analyze {{ changes() }};
    {%- endif %}
    create temporary table {{ affected() }} on commit drop as
    {{ context['affected_by_' ~ meta.get('affected', 'sessions')](is_full) }};
    analyze {{ affected() }};
    {% if meta.get('revisions') and is_full %}
    truncate {{ revisions_relation() }};
    {% endif %}
    {% if meta.get('superseded_columns') and is_full %}
    delete from {{ superseded_relation() }};
    {% endif %}
{% endmacro %}

{% macro consume_everything_sql(relations) %}
    {#-
        A full build has nothing to compare with: what there is goes straight to where it
        is remembered, and all of it counts as changed. The key is built afterwards, at a
        fraction of what keeping it up row by row costs.
    -#}
    {%- set key = model.name ~ '_pkey' -%}
    truncate {{ consumed_relation() }};
    alter table {{ consumed_relation() }} drop constraint if exists {{ key }};
    {%- for input, relation in relations.items() %}
    insert into {{ consumed_relation() }} (
        input, input_key, version, student_id, from_date
    )
    select
        '{{ input }}' as input,
        current_inputs.input_key,
        current_inputs.version,
        current_inputs.student_id,
        current_inputs.from_date
    from {{ relation }} as current_inputs;
    {%- endfor %}
    alter table {{ consumed_relation() }}
    add constraint {{ key }} primary key (input, input_key);
    analyze {{ consumed_relation() }};
    create or replace temporary view {{ changes() }} as
    select
        consumed.input,
        consumed.input_key,
        consumed.version,
        consumed.student_id,
        consumed.from_date,
        true as is_current
    from {{ consumed_relation() }} as consumed;
{% endmacro %}

{% macro affected_by_sessions(is_full) %}
    select distinct input_key as session_id from {{ changes() }}
{% endmacro %}

{% macro affected_by_attempt_sessions(is_full) %}
    {#- Sessions that changed, and those whose attempts take their topic from a question that did. -#}
    select input_key as session_id
    from {{ changes() }}
    where input in ('int_inputs__deliveries', 'backfill')
    {% if not is_full %}
    union
    select attempts.session_id
    from {{ this }} as attempts
    inner join {{ changes() }} as changes
        on attempts.item_id = changes.input_key
    where changes.input = 'int_inputs__question_topics' and attempts.is_topic_from_question
    {% endif %}
{% endmacro %}

{% macro affected_by_student_days(is_full) %}
    {#-
        The earliest day from which each student's rows can differ. A change without a
        student is a change for everybody whom an input names.
    -#}
    with student_changes as (
        select
            student_id,
            coalesce(from_date, date '0001-01-01') as from_date
        from {{ changes() }}
    ),
    everybody as (
        select distinct student_id from {{ changes() }}
        {%- if not is_full %}
        union
        select student_id from {{ consumed_relation() }}
        {%- endif %}
    ),
    all_changes as (
        select student_id, from_date
        from student_changes
        where student_id is not null
        union all
        select everybody.student_id, shared.from_date
        from (
            select min(from_date) as from_date
            from student_changes
            where student_id is null
        ) as shared
        cross join everybody
        where everybody.student_id is not null and shared.from_date is not null
    )
    select student_id, min(from_date) as from_date
    from all_changes
    where from_date <= {{ as_of_date() }}
    group by student_id
{% endmacro %}
