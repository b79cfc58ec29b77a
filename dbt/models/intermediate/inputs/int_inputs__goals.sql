with

goal_versions as (

    select * from {{ ref('int_goals__versioned') }}

),

goal_starts as (

    select
        {{ composite_key(["'start'", 'student_id', 'goal_key', 'valid_from']) }}
            as input_key,
        cast(
            {{ row_hash(['target_theta', 'priority', 'target_date']) }} as text
        ) as version,
        student_id,
        valid_from as from_date
    from goal_versions

),

-- Apart from the start, so that the end of a version changes nothing before it.
goal_ends as (

    select
        {{ composite_key(["'end'", 'student_id', 'goal_key', 'valid_to']) }}
            as input_key,
        '' as version,
        student_id,
        valid_to as from_date
    from goal_versions
    where valid_to is not null

),

inputs as (

    select * from goal_starts
    union all
    select * from goal_ends

)

select * from inputs
