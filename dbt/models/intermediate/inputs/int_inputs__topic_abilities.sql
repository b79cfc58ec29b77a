with

abilities as (

    select * from {{ ref('int_inputs__abilities') }}

),

topic_scorings as (

    select * from {{ ref('stg_irt__topic_scorings') }}

),

-- Topics are scored with the ability that they belong to and never change afterwards,
-- so that their number says everything: comparing each of them would cost ten times as
-- much. Overall abilities without a topic are inputs too, so that who reads both need not
-- compare them twice.
topic_counts as (

    select
        ability_id,
        count(*) as topic_count
    from topic_scorings
    group by ability_id

),

inputs as (

    select
        abilities.input_key,
        cast(coalesce(topic_counts.topic_count, 0) as text) as version,
        abilities.student_id,
        abilities.from_date
    from abilities
    left join topic_counts
        on abilities.input_key = cast(topic_counts.ability_id as text)

)

select * from inputs
