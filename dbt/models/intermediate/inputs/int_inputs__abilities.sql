with abilities as (
    select
        stg_irt__abilities.ability_id,
        stg_irt__abilities.student_id,
        stg_irt__abilities.effective_date
    from {{ ref('stg_irt__abilities') }}
),

-- A scoring never changes: another one takes its place, under an id of its own.
inputs as (
    select
        abilities.ability_id::text as input_key,
        ''::text as version,
        abilities.student_id,
        abilities.effective_date as from_date
    from abilities
)

select * from inputs
