{{ config(materialized='view') }}

{#- A view: publishing a run moves every reader at once, with no build in between. -#}

with current_item_parameters as (
    select * from {{ ref('stg_irt__current_item_parameters') }}
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
    current_item_parameters.fitted_at
from current_item_parameters
