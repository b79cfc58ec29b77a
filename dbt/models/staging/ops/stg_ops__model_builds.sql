select

    ---------- text
    model_builds.model,

    ---------- timestamps
    model_builds.as_of_date,
    model_builds.built_at

from {{ source('ops', 'model_builds') }} as model_builds
