with students as (
    select distinct int_goals__open.student_id
    from {{ ref('int_goals__open') }} as int_goals__open
    where int_goals__open.topic_id is not null
),

abilities as (
    select
        stg_irt__abilities.ability_id,
        stg_irt__abilities.student_id,
        stg_irt__abilities.effective_date
    from {{ ref('stg_irt__abilities') }} as stg_irt__abilities
),

inputs as (
    select
        cast(abilities.ability_id as text) as input_key,
        cast('' as text) as version,
        abilities.student_id,
        abilities.effective_date as from_date
    from abilities
    inner join students on abilities.student_id = students.student_id
)

select * from inputs
