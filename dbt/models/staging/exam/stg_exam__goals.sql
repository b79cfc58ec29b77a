with

goals as (

    select * from {{ optional_source('exam', 'interest_goal') }}

),

renamed as (

    select

        ---------- ids
        goals.user_id as student_id,
        nullif(btrim(cast(goals.topic_id as text)), '') as topic_id,
        case
            when nullif(btrim(cast(goals.topic_id as text)), '') is null then 'overall'
            else 'topic:' || goals.topic_id
        end as goal_key,

        ---------- numerics
        goals.target_level as target_theta,
        goals.priority,

        ---------- timestamps
        goals.target_date,
        goals.created_at

    from goals
    where
        goals.user_id <> ''
        and {{ is_not_erased('goals.user_id') }}

)

select * from renamed
