with item_fit as (
    select * from {{ source('irt', 'item_fit') }}
),

renamed as (
    select
        -- ids
        item_fit.run_id,
        item_fit.item_id,

        -- text
        item_fit.method as fit_method,
        item_fit.s_x2_reason,
        item_fit.pv_q1_reason,

        -- numerics
        item_fit.n_responses as response_count,
        item_fit.infit,
        item_fit.infit_z,
        item_fit.outfit,
        item_fit.outfit_z,
        item_fit.s_x2,
        item_fit.s_x2_df,
        item_fit.s_x2_p,
        item_fit.pv_q1,
        item_fit.pv_q1_df,
        item_fit.pv_q1_p,
        item_fit.rmsea,
        item_fit.q as q_value,

        -- booleans
        item_fit.is_misfit
    from item_fit
)

select * from renamed
