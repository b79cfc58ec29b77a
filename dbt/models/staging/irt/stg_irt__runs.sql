with mirt_fit_meta as (
    select * from {{ source('irt', 'mirt_fit_meta') }}
),

renamed as (
    select
        -- ids
        mirt_fit_meta.run_id,

        -- text
        mirt_fit_meta.bank,
        mirt_fit_meta.model,
        mirt_fit_meta.engine,
        mirt_fit_meta.engine_version,
        mirt_fit_meta.status,

        -- numerics
        mirt_fit_meta.n_persons as student_count,
        mirt_fit_meta.n_items as item_count,
        mirt_fit_meta.n_responses as response_count,
        mirt_fit_meta.log_likelihood,
        mirt_fit_meta.iterations,
        mirt_fit_meta.prior_mean,
        mirt_fit_meta.prior_sd,
        mirt_fit_meta.duration_seconds,

        -- booleans
        mirt_fit_meta.is_converged,

        -- timestamps
        mirt_fit_meta.window_start as window_started_at,
        mirt_fit_meta.window_end as window_ended_at,
        mirt_fit_meta.started_at,
        mirt_fit_meta.fitted_at
    from mirt_fit_meta
)

select * from renamed
