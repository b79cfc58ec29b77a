with current_ability as (
    select * from {{ source('irt', 'current_ability') }}
),

renamed as (
    select
        -- ids
        current_ability.user_id as student_id,
        current_ability.run_id,
        current_ability.session_id,

        -- numerics
        current_ability.theta,
        current_ability.se as standard_error,
        current_ability.n_responses as response_count,

        -- timestamps
        current_ability.effective_at,
        current_ability.fitted_at
    from current_ability
)

select * from renamed
