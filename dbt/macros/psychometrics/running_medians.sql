{# CTEs that end in `medians` (item_id, as_of, value_count, median): for each row of
   `spine` the exact median of all values up to its as_of. `days` has item_id, as_of and
   an array of whole, not negative values.

   Sorting everything once per as_of would cost as many sorts as there are weeks. So the
   values are counted in bins, which add up over weeks; the counts tell in which bin the
   two middle values lie. Only the values of these bins are sorted, once for all weeks,
   and cut into chunks of some dozens, of which the counts tell the middle one again. #}
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
    where {{ holds_middle_rank(
        'bin_ranks.last_rank', 'bin_ranks.bin_count', 'bin_ranks.value_count'
    ) }}
),

sorted_values as (
    select
        binned_values.item_id,
        binned_values.bin,
        binned_values.as_of,
        binned_values.value,
        (
            row_number() over (
                partition by binned_values.item_id, binned_values.bin
                order by binned_values.value
            ) - 1
        ) / 32 as chunk
    from binned_values
    inner join (
        select distinct
            middle_bins.item_id,
            middle_bins.bin
        from middle_bins
    ) as searched
        on
            binned_values.item_id = searched.item_id
            and binned_values.bin = searched.bin
),

chunk_steps as (
    select
        sorted_values.item_id,
        sorted_values.bin,
        sorted_values.chunk,
        sorted_values.as_of,
        count(*) as value_count
    from sorted_values
    group by
        sorted_values.item_id,
        sorted_values.bin,
        sorted_values.chunk,
        sorted_values.as_of
),

chunk_totals as (
    select
        middle_bins.item_id,
        middle_bins.as_of,
        middle_bins.bin,
        chunk_steps.chunk,
        middle_bins.value_count,
        middle_bins.rank_before,
        sum(chunk_steps.value_count) as chunk_count
    from middle_bins
    inner join chunk_steps
        on
            middle_bins.item_id = chunk_steps.item_id
            and middle_bins.bin = chunk_steps.bin
            and middle_bins.as_of >= chunk_steps.as_of
    group by
        middle_bins.item_id,
        middle_bins.as_of,
        middle_bins.bin,
        chunk_steps.chunk,
        middle_bins.value_count,
        middle_bins.rank_before
),

chunk_ranks as (
    select
        chunk_totals.*,
        chunk_totals.rank_before + sum(chunk_totals.chunk_count) over (
            partition by chunk_totals.item_id, chunk_totals.as_of, chunk_totals.bin
            order by chunk_totals.chunk
        ) as last_rank
    from chunk_totals
),

middle_chunks as (
    select
        chunk_ranks.item_id,
        chunk_ranks.as_of,
        chunk_ranks.bin,
        chunk_ranks.chunk,
        chunk_ranks.value_count,
        chunk_ranks.last_rank - chunk_ranks.chunk_count as rank_before
    from chunk_ranks
    where {{ holds_middle_rank(
        'chunk_ranks.last_rank', 'chunk_ranks.chunk_count', 'chunk_ranks.value_count'
    ) }}
),

middle_values as (
    select
        middle_chunks.item_id,
        middle_chunks.as_of,
        middle_chunks.value_count,
        sorted_values.value,
        middle_chunks.rank_before + row_number() over (
            partition by
                middle_chunks.item_id,
                middle_chunks.as_of,
                middle_chunks.bin,
                middle_chunks.chunk
            order by sorted_values.value
        ) as value_rank
    from middle_chunks
    inner join sorted_values
        on
            middle_chunks.item_id = sorted_values.item_id
            and middle_chunks.bin = sorted_values.bin
            and middle_chunks.chunk = sorted_values.chunk
            and middle_chunks.as_of >= sorted_values.as_of
),

medians as (
    select
        middle_values.item_id,
        middle_values.as_of,
        middle_values.value_count,
        cast(avg(middle_values.value) as double precision) as median
    from middle_values
    where
        middle_values.value_rank in (
            div(middle_values.value_count + 1, 2), div(middle_values.value_count, 2) + 1
        )
    group by middle_values.item_id, middle_values.as_of, middle_values.value_count
)
{%- endmacro %}


{# Whether one of the two middle ranks, (n + 1) / 2 and n / 2 + 1 rounded down, is among the
   `count` ranks up to `last_rank`. #}
{% macro holds_middle_rank(last_rank, count, n) -%}
    {{ last_rank }} >= div({{ n }} + 1, 2)
    and {{ last_rank }} - {{ count }} < div({{ n }}, 2) + 1
{%- endmacro %}


{# A bin number that never falls as the value grows; ten times wider from 120 000, and
   again from 1 200 000 (milliseconds: 4 seconds wide, where most answers lie). #}
{% macro value_bin(value) -%}
    least({{ value }} / 4000, 27 + {{ value }} / 40000, 54 + {{ value }} / 400000)
{%- endmacro %}
