with topic_abilities as (
    select
        stg_irt__topic_abilities.topic_ability_id,
        stg_irt__topic_abilities.student_id,
        stg_irt__topic_abilities.effective_date
    from {{ ref('stg_irt__topic_abilities') }}
),

-- A scoring never changes: another one takes its place, under an id of its own.
inputs as (
    select
        topic_abilities.topic_ability_id::text as input_key,
        ''::text as version,
        topic_abilities.student_id,
        topic_abilities.effective_date as from_date
    from topic_abilities
)

select * from inputs
