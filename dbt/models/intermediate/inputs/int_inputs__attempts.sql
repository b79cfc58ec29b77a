-- depends_on: {{ ref('fct_attempts') }}

with

revisions as (

    select * from {{ revisions_relation('fct_attempts') }}

),

inputs as (

    select
        key as input_key,
        cast(revision as text) as version,
        cast(null as text) as student_id,
        cast(null as date) as from_date
    from revisions

)

select * from inputs
