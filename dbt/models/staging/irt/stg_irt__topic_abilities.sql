with effective_topic_ability as (
    select * from {{ source('irt', 'effective_topic_ability') }}
),

renamed as (
    select
        -- ids
        effective_topic_ability.id as topic_ability_id,
        effective_topic_ability.ability_id,
        effective_topic_ability.user_id as student_id,
        effective_topic_ability.topic_id,
        effective_topic_ability.session_id,
        effective_topic_ability.run_id,

        -- numerics
        effective_topic_ability.theta,
        effective_topic_ability.se as standard_error,
        effective_topic_ability.n_responses as response_count,

        -- timestamps
        effective_topic_ability.effective_at,
        {{ local_date('effective_topic_ability.effective_at') }} as effective_date,
        effective_topic_ability.fitted_at
    from effective_topic_ability
)

select * from renamed
