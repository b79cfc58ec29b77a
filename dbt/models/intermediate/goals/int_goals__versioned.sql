with

goal_history as (

    select * from {{ ref('goal_history') }}

),

goal_versions as (

    select
        student_id,
        topic_id,
        goal_key,
        target_theta,
        priority,
        target_date,
        dbt_valid_from as valid_from,
        dbt_valid_to as valid_to
    from goal_history
    where dbt_valid_to is null or dbt_valid_from < dbt_valid_to

)

select * from goal_versions
