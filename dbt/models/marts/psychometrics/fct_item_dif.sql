{{ config(materialized='view') }}

{#- A view: what a calibration stores is here at once, with no build in between. -#}

with item_dif as (
    select * from {{ ref('stg_irt__item_dif') }}
),

runs as (
    select * from {{ ref('stg_irt__runs') }}
)

select
    item_dif.run_id,
    runs.bank,
    runs.fitted_at,
    item_dif.grouping,
    item_dif.focal_group,
    item_dif.reference_group,
    item_dif.item_id,
    item_dif.method,
    item_dif.focal_response_count,
    item_dif.reference_response_count,
    item_dif.delta_discrimination,
    item_dif.se_delta_discrimination,
    item_dif.delta_difficulty,
    item_dif.se_delta_difficulty,
    item_dif.statistic,
    item_dif.df,
    item_dif.p_value,
    item_dif.q_value,
    item_dif.kind,
    item_dif.severity,
    item_dif.reason
from item_dif
inner join runs
    on item_dif.run_id = runs.run_id
where runs.status = 'accepted'
