with item_drift as (
    select * from {{ source('irt', 'item_drift') }}
),

renamed as (
    select
        -- ids
        item_drift.run_id,
        item_drift.compared_run_id,
        item_drift.item_id,

        -- text
        item_drift.comparison,
        item_drift.severity,
        item_drift.reason,

        -- numerics
        item_drift.n_common as common_response_count,
        item_drift.delta_discrimination,
        item_drift.delta_difficulty,
        item_drift.se_delta_discrimination,
        item_drift.se_delta_difficulty,
        item_drift.statistic,
        item_drift.df,
        item_drift.p as p_value,
        item_drift.q as q_value
    from item_drift
)

select * from renamed
