{{ config(materialized='view') }}

{#- A view: an exam that has just been scored shows at once, with no build before. -#}

with current_abilities as (
    select * from {{ ref('stg_irt__current_abilities') }}
)

select
    current_abilities.student_id,
    current_abilities.run_id,
    current_abilities.session_id,
    current_abilities.theta,
    current_abilities.standard_error,
    current_abilities.response_count,
    current_abilities.effective_at,
    current_abilities.fitted_at
from current_abilities
