with goal_topics as (
    select distinct
        int_goals__open.student_id,
        int_goals__open.topic_id
    from {{ ref('int_goals__open') }} as int_goals__open
    where int_goals__open.topic_id is not null
),

inputs as (
    select
        {{ composite_key(['goal_topics.student_id', 'goal_topics.topic_id']) }}
            as input_key,
        cast('' as text) as version,
        goal_topics.student_id,
        cast(null as date) as from_date
    from goal_topics
)

select * from inputs
