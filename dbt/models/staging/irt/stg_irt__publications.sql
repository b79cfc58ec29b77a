with publications as (
    select * from {{ source('irt', 'publications') }}
),

renamed as (
    select
        -- ids
        publications.publication_id,
        publications.run_id,

        -- booleans
        publications.revoked_at is not null as is_revoked,

        -- timestamps
        publications.in_force_from as in_force_from_date,
        publications.published_at,
        publications.revoked_at
    from publications
)

select * from renamed
