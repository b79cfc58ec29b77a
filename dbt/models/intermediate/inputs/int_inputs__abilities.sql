with

abilities as (

    select * from {{ ref('stg_irt__abilities') }}

),

runs_in_force as (

    select * from {{ ref('int_runs__in_force') }}

),

-- An estimate matters from the first day on which its run is in force and it is not
-- too old; one that matters on no day is no input, so that publishing a run does not
-- build the history anew.
inputs as (

    select
        cast(abilities.ability_id as text) as input_key,
        '' as version,
        abilities.student_id,
        min(
            greatest(abilities.effective_date, runs_in_force.valid_from)
        ) as from_date
    from abilities
    inner join runs_in_force
        on
            abilities.run_id = runs_in_force.run_id
            and abilities.effective_date < runs_in_force.valid_to
            and abilities.effective_date
            >= runs_in_force.valid_from - {{ var('ability_lookback_days') }}
    group by abilities.ability_id, abilities.student_id

)

select * from inputs
