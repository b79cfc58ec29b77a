with periods as (
    select
        int_goals__topic_abilities.topic_ability_id,
        int_goals__topic_abilities.student_id,
        int_goals__topic_abilities.effective_date
    from {{ ref('int_goals__topic_abilities') }} as int_goals__topic_abilities
),

-- A scoring never changes: another one takes its place, under an id of its own. It can
-- have a period under each publication of its run.
inputs as (
    select distinct
        cast(periods.topic_ability_id as text) as input_key,
        cast('' as text) as version,
        periods.student_id,
        periods.effective_date as from_date
    from periods
)

select * from inputs
