{{ config(materialized='view') }}

{#- A view: what a calibration stores is here at once, with no build in between. -#}

with item_drift as (
    select * from {{ ref('stg_irt__item_drift') }}
),

runs as (
    select * from {{ ref('stg_irt__runs') }}
)

select
    item_drift.run_id,
    runs.bank,
    runs.fitted_at,
    item_drift.comparison,
    item_drift.compared_run_id,
    item_drift.item_id,
    item_drift.common_response_count,
    item_drift.delta_discrimination,
    item_drift.se_delta_discrimination,
    item_drift.delta_difficulty,
    item_drift.se_delta_difficulty,
    item_drift.statistic,
    item_drift.df,
    item_drift.p_value,
    item_drift.q_value,
    item_drift.severity,
    item_drift.reason
from item_drift
inner join runs
    on item_drift.run_id = runs.run_id
where runs.status = 'accepted'
