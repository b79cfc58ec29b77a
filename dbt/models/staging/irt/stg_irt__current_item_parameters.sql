with current_item_params as (
    select * from {{ source('irt', 'current_item_params') }}
),

renamed as (
    select
        -- ids
        current_item_params.item_id,
        current_item_params.run_id,

        -- text
        current_item_params.model,
        current_item_params.flags,

        -- numerics
        current_item_params.discrimination,
        current_item_params.difficulty,
        current_item_params.guessing,
        current_item_params.se_discrimination,
        current_item_params.se_difficulty,
        current_item_params.se_guessing,
        current_item_params.n_responses as response_count,

        -- timestamps
        current_item_params.fitted_at
    from current_item_params
)

select * from renamed
