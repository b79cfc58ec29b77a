{# CTEs that end in `medians` (item_id, as_of, value_count, median): for each row of
   `spine` the exact median of all values up to its as_of. `days` has item_id, as_of and
   a sorted array of values, null without one.

   Sorting everything once per as_of would cost as many sorts as there are weeks, and even
   looking at every value is slow. So an item's values are split at some quantiles of its
   days' medians, near which all its medians lie. How many values of a day are below a
   split is a binary search in its array; these counts add up over weeks, and tell between
   which splits the two middle values lie. Only the values between these are read. Where
   the splits are guessed badly there are more of them, and the medians are the same. #}
{% macro running_medians(days, array_column, spine) -%}
{%- set splits = range(8, 25) -%}
item_splits as (
    select
        {{ days }}.item_id,
        {%- for split in splits %}
        {{ quantile(middle_element(days ~ '.' ~ array_column), split / 32) }}
            as split_{{ split }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ days }}
    where {{ days }}.{{ array_column }} is not null
    group by {{ days }}.item_id
),

value_steps as (
    select
        {{ days }}.item_id,
        {{ days }}.as_of,
        {%- for split in splits %}
        sum({{ count_at_most(days ~ '.' ~ array_column, 'item_splits.split_' ~ split) }})
            as count_{{ split }},
        {%- endfor %}
        sum({{ array_length(days ~ '.' ~ array_column) }}) as value_count
    from {{ days }}
    inner join item_splits on {{ days }}.item_id = item_splits.item_id
    where {{ days }}.{{ array_column }} is not null
    group by {{ days }}.item_id, {{ days }}.as_of
),

value_totals as (
    select
        {{ spine }}.item_id,
        {{ spine }}.as_of,
        {%- for split in splits %}
        sum(value_steps.count_{{ split }}) over so_far as count_{{ split }},
        {%- endfor %}
        sum(value_steps.value_count) over so_far as value_count
    from {{ spine }}
    left join value_steps
        on
            {{ spine }}.item_id = value_steps.item_id
            and {{ spine }}.as_of = value_steps.as_of
    window so_far as (partition by {{ spine }}.item_id order by {{ spine }}.as_of)
),

-- Of the middle values, (n + 1) / 2 and n / 2 + 1 rounded down: the last split below both
-- and the first one not below either, null beyond the outermost.
middles as (
    select
        value_totals.item_id,
        value_totals.as_of,
        value_totals.value_count,
        case
            {%- for split in splits | reverse %}
            when value_totals.count_{{ split }} < div(value_totals.value_count + 1, 2)
                then item_splits.split_{{ split }}
            {%- endfor %}
        end as above,
        case
            {%- for split in splits | reverse %}
            when value_totals.count_{{ split }} < div(value_totals.value_count + 1, 2)
                then value_totals.count_{{ split }}
            {%- endfor %}
            else 0
        end as rank_before,
        case
            {%- for split in splits %}
            when value_totals.count_{{ split }} >= div(value_totals.value_count, 2) + 1
                then item_splits.split_{{ split }}
            {%- endfor %}
        end as up_to
    from value_totals
    inner join item_splits on value_totals.item_id = item_splits.item_id
    where value_totals.value_count > 0
),

intervals as (
    select
        middles.item_id,
        middles.above,
        middles.up_to,
        row_number() over () as interval_number,
        max(middles.as_of) as last_as_of
    from middles
    group by middles.item_id, middles.above, middles.up_to
),

-- Read once, not once for each as_of.
interval_values as materialized (
    select
        intervals.interval_number,
        {{ days }}.as_of,
        elements.value
    from intervals
    inner join {{ days }}
        on
            intervals.item_id = {{ days }}.item_id
            and intervals.last_as_of >= {{ days }}.as_of
    cross join {{ array_elements(
        array_between(days ~ '.' ~ array_column, 'intervals.above', 'intervals.up_to'),
        'elements',
        'value',
    ) }}
),

middle_values as (
    select
        middles.item_id,
        middles.as_of,
        middles.value_count,
        interval_values.value,
        middles.rank_before + row_number() over (
            partition by middles.item_id, middles.as_of order by interval_values.value
        ) as value_rank
    from middles
    inner join intervals
        on
            middles.item_id = intervals.item_id
            and middles.above is not distinct from intervals.above
            and middles.up_to is not distinct from intervals.up_to
    inner join interval_values
        on
            intervals.interval_number = interval_values.interval_number
            and middles.as_of >= interval_values.as_of
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
