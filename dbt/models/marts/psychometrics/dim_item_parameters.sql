{{ config(materialized='view') }}

{#- A view: publishing a run moves every reader at once, with no build in between. -#}

with current_item_parameters as (
    select * from {{ ref('stg_irt__current_item_parameters') }}
),

item_fit as (
    select * from {{ ref('stg_irt__item_fit') }}
),

item_drift as (
    select * from {{ ref('stg_irt__item_drift') }}
),

worst_dif as (
    select
        item_dif.run_id,
        item_dif.item_id,
        {{ worst_severity('item_dif.severity') }} as severity
    from {{ ref('stg_irt__item_dif') }} as item_dif
    group by item_dif.run_id, item_dif.item_id
)

select
    current_item_parameters.item_id,
    current_item_parameters.run_id,
    current_item_parameters.model,
    current_item_parameters.discrimination,
    current_item_parameters.difficulty,
    current_item_parameters.guessing,
    current_item_parameters.se_discrimination,
    current_item_parameters.se_difficulty,
    current_item_parameters.se_guessing,
    current_item_parameters.response_count,
    current_item_parameters.flags,
    item_fit.infit,
    item_fit.outfit,
    item_fit.rmsea,
    item_fit.is_misfit,
    since_previous.severity as drift_severity,
    since_baseline.severity as baseline_drift_severity,
    worst_dif.severity as dif_severity,
    current_item_parameters.fitted_at
from current_item_parameters
left join item_fit
    on
        current_item_parameters.run_id = item_fit.run_id
        and current_item_parameters.item_id = item_fit.item_id
left join item_drift as since_previous
    on
        current_item_parameters.run_id = since_previous.run_id
        and current_item_parameters.item_id = since_previous.item_id
        and since_previous.comparison = 'previous'
left join item_drift as since_baseline
    on
        current_item_parameters.run_id = since_baseline.run_id
        and current_item_parameters.item_id = since_baseline.item_id
        and since_baseline.comparison = 'baseline'
left join worst_dif
    on
        current_item_parameters.run_id = worst_dif.run_id
        and current_item_parameters.item_id = worst_dif.item_id
