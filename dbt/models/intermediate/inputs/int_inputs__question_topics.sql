with

questions as (

    select * from {{ ref('stg_exam__questions') }}

),

inputs as (

    select
        item_id as input_key,
        coalesce(topic_id, '') as version,
        cast(null as text) as student_id,
        cast(null as date) as from_date
    from questions

)

select * from inputs
