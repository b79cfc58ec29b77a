with

sessions as (

    select * from {{ ref('fct_sessions') }}

),

inputs as (

    select
        session_id as input_key,
        cast(revision as text) as version,
        student_id,
        least(first_attempt_date, session_date) as from_date
    from sessions

)

select * from inputs
