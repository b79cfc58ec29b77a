with runs as (
    select
        int_runs__in_force.run_id,
        int_runs__in_force.valid_from
    from {{ ref('int_runs__in_force') }}
),

-- Each period lasts until the next one begins, so its first day and run say everything:
-- a publication or its revocation is then a change from its own first day on.
inputs as (
    select
        cast(runs.valid_from as text) as input_key,
        runs.run_id as version,
        cast(null as text) as student_id,
        runs.valid_from as from_date
    from runs
)

select * from inputs
