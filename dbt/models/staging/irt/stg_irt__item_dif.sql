with item_dif as (
    select * from {{ source('irt', 'item_dif') }}
),

renamed as (
    select
        -- ids
        item_dif.run_id,
        item_dif.item_id,

        -- text
        item_dif.grouping,
        item_dif.focal_group,
        item_dif.reference_group,
        item_dif.method,
        item_dif.kind,
        item_dif.severity,
        item_dif.reason,

        -- numerics
        item_dif.n_focal as focal_response_count,
        item_dif.n_reference as reference_response_count,
        item_dif.delta_discrimination,
        item_dif.delta_difficulty,
        item_dif.se_delta_discrimination,
        item_dif.se_delta_difficulty,
        item_dif.statistic,
        item_dif.df,
        item_dif.p as p_value,
        item_dif.q as q_value
    from item_dif
)

select * from renamed
