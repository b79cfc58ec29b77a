with publications as (
    select * from {{ ref('stg_irt__publications') }}
),

-- A publication gives way to every later one, from the day on which that one begins.
periods as (
    select
        publications.publication_id,
        publications.run_id,
        publications.in_force_from_date as valid_from,
        coalesce(
            min(publications.in_force_from_date) over (
                order by publications.publication_id
                rows between 1 following and unbounded following
            ),
            {{ end_of_time() }}
        ) as valid_to
    from publications
    where not publications.is_revoked
)

select
    periods.publication_id,
    periods.run_id,
    periods.valid_from,
    periods.valid_to
from periods
where periods.valid_from < periods.valid_to
