with

topic_abilities as (

    select * from {{ ref('stg_irt__topic_abilities') }}

),

runs_in_force as (

    select * from {{ ref('int_runs__in_force') }}

),

-- An estimate matters from the first day on which its run is in force and it is not
-- too old; one that matters on no day is no input, so that publishing a run does not
-- build the history anew.
inputs as (

    select
        cast(topic_abilities.topic_ability_id as text) as input_key,
        '' as version,
        topic_abilities.student_id,
        min(
            greatest(topic_abilities.effective_date, runs_in_force.valid_from)
        ) as from_date
    from topic_abilities
    inner join runs_in_force
        on
            topic_abilities.run_id = runs_in_force.run_id
            and topic_abilities.effective_date < runs_in_force.valid_to
            and topic_abilities.effective_date
            >= runs_in_force.valid_from - {{ var('ability_lookback_days') }}
    group by topic_abilities.topic_ability_id, topic_abilities.student_id

)

select * from inputs
