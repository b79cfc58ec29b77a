with effective_ability as (
    select * from {{ source('irt', 'effective_ability') }}
),

renamed as (
    select
        -- ids
        effective_ability.id as ability_id,
        effective_ability.user_id as student_id,
        effective_ability.session_id,
        effective_ability.run_id,

        -- numerics
        effective_ability.theta,
        effective_ability.se as standard_error,
        effective_ability.n_responses as response_count,

        -- timestamps
        effective_ability.effective_at,
        {{ local_date('effective_ability.effective_at') }} as effective_date,
        effective_ability.fitted_at
    from effective_ability
)

select * from renamed
