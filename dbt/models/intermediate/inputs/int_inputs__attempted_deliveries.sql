-- depends_on: {{ ref('fct_attempts') }}

with

consumed as (

    select * from {{ consumed_relation('fct_attempts') }}

),

inputs as (

    select
        input_key,
        version,
        student_id,
        from_date
    from consumed
    where input = 'int_inputs__deliveries'

)

select * from inputs
