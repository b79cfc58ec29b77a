with mirt_item_params as (
    select * from {{ source('irt', 'mirt_item_params') }}
),

renamed as (
    select
        -- ids
        mirt_item_params.run_id,
        mirt_item_params.item_id,

        -- text
        mirt_item_params.model,
        mirt_item_params.flags,

        -- numerics
        mirt_item_params.discrimination,
        mirt_item_params.difficulty,
        mirt_item_params.guessing,
        mirt_item_params.se_discrimination,
        mirt_item_params.se_difficulty,
        mirt_item_params.se_guessing,
        mirt_item_params.n_responses as response_count,

        -- timestamps
        mirt_item_params.fitted_at
    from mirt_item_params
)

select * from renamed
