{{ config(materialized='view') }}

{#- A view: what a calibration stores is here at once, with no build in between. -#}

with item_fit as (
    select * from {{ ref('stg_irt__item_fit') }}
),

runs as (
    select * from {{ ref('stg_irt__runs') }}
)

select
    item_fit.run_id,
    runs.bank,
    runs.fitted_at,
    item_fit.item_id,
    item_fit.response_count,
    item_fit.infit,
    item_fit.infit_z,
    item_fit.outfit,
    item_fit.outfit_z,
    item_fit.s_x2,
    item_fit.s_x2_df,
    item_fit.s_x2_p,
    item_fit.s_x2_reason,
    item_fit.pv_q1,
    item_fit.pv_q1_df,
    item_fit.pv_q1_p,
    item_fit.pv_q1_reason,
    item_fit.fit_method,
    item_fit.rmsea,
    item_fit.q_value,
    item_fit.is_misfit
from item_fit
inner join runs
    on item_fit.run_id = runs.run_id
where runs.status = 'accepted'
