with open_goals as (
    select
        int_goals__open.student_id,
        int_goals__open.goal_key,
        int_goals__open.valid_from,
        int_goals__open.valid_to,
        {{ row_hash([
            'int_goals__open.target_theta', 'int_goals__open.target_date',
            'int_goals__open.priority', 'int_goals__open.is_primary',
        ]) }} as content_hash
    from {{ ref('int_goals__open') }} as int_goals__open
),

-- The end of a period is an input of its own: it changes nothing before that day.
inputs as (
    select
        {{ composite_key([
            "'start'", 'open_goals.student_id', 'open_goals.goal_key',
            'open_goals.valid_from',
        ]) }} as input_key,
        cast(open_goals.content_hash as text) as version,
        open_goals.student_id,
        open_goals.valid_from as from_date
    from open_goals
    union all
    select
        {{ composite_key([
            "'end'", 'open_goals.student_id', 'open_goals.goal_key',
            'open_goals.valid_to',
        ]) }} as input_key,
        cast('' as text) as version,
        open_goals.student_id,
        open_goals.valid_to as from_date
    from open_goals
)

select * from inputs
