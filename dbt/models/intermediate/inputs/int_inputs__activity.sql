-- depends_on: {{ ref('int_activity__windowed') }}
-- What the windows were built from, not what could be read now: a job that builds the
-- KPIs without their windows then finds the sessions again once the windows hold them.
with consumed as (
    select
        consumed_inputs.input_key,
        consumed_inputs.version,
        consumed_inputs.student_id,
        consumed_inputs.from_date
    from {{ consumed_relation('int_activity__windowed') }} as consumed_inputs
)

select * from consumed
