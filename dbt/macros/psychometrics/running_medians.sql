{# CTEs that end in `medians` (item_id, as_of, value_count, median): for each row of
   `spine` the exact median of all values up to its as_of. `days` has item_id, as_of and
   an array of whole, not negative values.

   Sorting everything once per as_of would cost as many sorts as there are weeks. So the
   values are counted in bins, which add up over weeks; the counts tell in which bin the
   two middle values lie, and only the values of these bins are sorted. #}
{% macro running_medians(days, array_column, spine) -%}
binned_values as (
    select
        {{ days }}.item_id,
        {{ days }}.as_of,
        elements.value,
        {{ value_bin('elements.value') }} as bin
    from {{ days }}
    cross join {{ array_elements(days ~ '.' ~ array_column, 'elements', 'value') }}
),

bin_steps as (
    select
        binned_values.item_id,
        binned_values.bin,
        binned_values.as_of,
        count(*) as value_count
    from binned_values
    group by binned_values.item_id, binned_values.bin, binned_values.as_of
),

bin_totals as (
    select
        bins.item_id,
        bins.bin,
        {{ spine }}.as_of,
        sum(bin_steps.value_count) over (
            partition by bins.item_id, bins.bin order by {{ spine }}.as_of
        ) as value_count
    from (
        select
            bin_steps.item_id,
            bin_steps.bin,
            min(bin_steps.as_of) as first_as_of
        from bin_steps
        group by bin_steps.item_id, bin_steps.bin
    ) as bins
    inner join {{ spine }}
        on
            bins.item_id = {{ spine }}.item_id
            and bins.first_as_of <= {{ spine }}.as_of
    left join bin_steps
        on
            bins.item_id = bin_steps.item_id
            and bins.bin = bin_steps.bin
            and {{ spine }}.as_of = bin_steps.as_of
),

bin_ranks as (
    select
        bin_totals.item_id,
        bin_totals.as_of,
        bin_totals.bin,
        sum(bin_totals.value_count) over (
            partition by bin_totals.item_id, bin_totals.as_of order by bin_totals.bin
        ) as last_rank,
        bin_totals.value_count as bin_count,
        sum(bin_totals.value_count) over (
            partition by bin_totals.item_id, bin_totals.as_of
        ) as value_count
    from bin_totals
),

middle_bins as (
    select
        bin_ranks.item_id,
        bin_ranks.as_of,
        bin_ranks.bin,
        bin_ranks.value_count,
        bin_ranks.last_rank - bin_ranks.bin_count as rank_before
    from bin_ranks
    where
        -- The middle values have the ranks (n + 1) / 2 and n / 2 + 1, rounded down.
        bin_ranks.last_rank >= div(bin_ranks.value_count + 1, 2)
        and bin_ranks.last_rank - bin_ranks.bin_count
        < div(bin_ranks.value_count, 2) + 1
),

middle_values as (
    select
        middle_bins.item_id,
        middle_bins.as_of,
        middle_bins.value_count,
        binned_values.value,
        middle_bins.rank_before + row_number() over (
            partition by middle_bins.item_id, middle_bins.as_of, middle_bins.bin
            order by binned_values.value
        ) as value_rank
    from middle_bins
    inner join binned_values
        on
            middle_bins.item_id = binned_values.item_id
            and middle_bins.bin = binned_values.bin
            and middle_bins.as_of >= binned_values.as_of
),

medians as (
    select
        middle_values.item_id,
        middle_values.as_of,
        middle_values.value_count,
        avg(middle_values.value)::float8 as median
    from middle_values
    where
        middle_values.value_rank in (
            div(middle_values.value_count + 1, 2), div(middle_values.value_count, 2) + 1
        )
    group by middle_values.item_id, middle_values.as_of, middle_values.value_count
)
{%- endmacro %}


{# A bin number that never falls as the value grows; ten times wider from 120 000, and
   again from 1 200 000 (milliseconds: 4 seconds wide, where most answers lie). #}
{% macro value_bin(value) -%}
    least({{ value }} / 4000, 27 + {{ value }} / 40000, 54 + {{ value }} / 400000)
{%- endmacro %}
