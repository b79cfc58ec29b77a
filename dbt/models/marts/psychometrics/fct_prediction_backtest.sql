{{ config(
    materialized='incremental',
    incremental_strategy='replace_affected',
    unique_key=['prediction', 'as_of', 'bin'],
    on_schema_change='fail',
    pre_hook="{{ begin_build(['int_inputs__resolved_predictions']) }}",
    post_hook=[
        "{{ delete_superseded_as_of() }}",
        "{{ end_build() }}",
    ],
    meta={
        'affected': 'student_days',
        'date_column': 'as_of',
        'student_column': 'prediction',
        'settings': [],
    },
    indexes=[{'columns': ['prediction', 'as_of', 'bin'], 'unique': true}]
) }}

with affected_predictions as (
    select
        student_id as prediction,
        from_date
    from {{ affected_students() }}
),

resolved as (
    select int_predictions__resolved.*
    from {{ ref('int_predictions__resolved') }} as int_predictions__resolved
    where int_predictions__resolved.resolved_on <= {{ as_of_date() }}
),

histories as (
    select
        resolved.prediction,
        min(resolved.resolved_on) as first_date
    from resolved
    group by resolved.prediction
),

scope as (
    select
        histories.prediction,
        greatest(
            {{ as_of_for('histories.first_date') }},
            least(
                {{ as_of_for('affected_predictions.from_date') }},
                {{ as_of_for(first_as_of_to_build()) }}
            )
        ) as first_as_of
    from histories
    left join affected_predictions
        on histories.prediction = affected_predictions.prediction
    where
        affected_predictions.prediction is not null
        or {{ first_as_of_to_build() }} is not null
),

spine as (
    select
        scope.prediction,
        days.as_of
    from scope
    cross join {{ days_series('scope.first_as_of', as_of_date(), 'days', 'as_of') }}
    where {{ is_as_of('days.as_of') }}
),

-- Predictions count under the first as_of on or after the day on which they are
-- resolved, and everything older under the first as_of that is built.
predictions as (
    select
        resolved.prediction,
        greatest({{ as_of_for('resolved.resolved_on') }}, scope.first_as_of) as as_of,
        resolved.probability,
        -- Decimals to 12 places, as a whole number: ranked the fastest.
        cast(resolved.probability * 1000000000000 as bigint) as trillionths,
        -- Lower bounds are inclusive, and 1 belongs to the last bin.
        least(cast(floor(resolved.probability * 10) as integer) + 1, 10) as bin,
        cast(resolved.has_come_true as integer) as outcome
    from resolved
    inner join scope
        on resolved.prediction = scope.prediction
    -- For the ranks.
    order by trillionths
),

steps as (
    select
        predictions.prediction,
        predictions.as_of,
        -- 0 for all bins.
        coalesce(predictions.bin, 0) as bin,
        count(*) as prediction_count,
        sum(predictions.outcome) as outcome_count,
        sum(predictions.probability) as probability_sum,
        sum(
            (predictions.outcome - predictions.probability)
            * (predictions.outcome - predictions.probability)
        ) as squared_error_sum
    from predictions
    group by grouping sets (
        (predictions.prediction, predictions.as_of),
        (predictions.prediction, predictions.as_of, predictions.bin)
    )
),

-- Predictions are sorted once, and counted through for each day: those of one value,
-- made on any cut-off, are what a rank needs.
rank_sums as (
    select
        spine.prediction,
        spine.as_of,
        sum(pooled.outcome_count * pooled.double_rank) / 2 as outcome_rank_sum
    from spine
    cross join
        lateral (
            select
                sum(predictions.outcome) as outcome_count,
                -- Twice the mean rank of the ties is a whole number.
                2 * sum(count(*)) over (order by predictions.trillionths)
                - count(*) + 1 as double_rank
            from predictions
            where
                predictions.prediction = spine.prediction
                and predictions.as_of <= spine.as_of
            group by predictions.trillionths
        ) as pooled
    group by spine.prediction, spine.as_of
),

totals as (
    select
        spine.prediction,
        spine.as_of,
        numbers.bin,
        sum(steps.prediction_count) over so_far as prediction_count,
        sum(steps.outcome_count) over so_far as outcome_count,
        sum(steps.probability_sum) over so_far as probability_sum,
        sum(steps.squared_error_sum) over so_far as squared_error_sum
    from spine
    cross join {{ days_series('0', '10', 'numbers', 'bin') }}
    left join steps
        on
            spine.prediction = steps.prediction
            and spine.as_of = steps.as_of
            and numbers.bin = steps.bin
    window so_far as (partition by spine.prediction, numbers.bin order by spine.as_of)
),

bins as (
    select
        totals.prediction,
        totals.as_of,
        totals.bin,
        cast(coalesce(totals.prediction_count, 0) as integer) as prediction_count,
        cast(coalesce(totals.outcome_count, 0) as integer) as outcome_count,
        cast(totals.probability_sum / totals.prediction_count as double precision)
            as mean_probability,
        cast(totals.outcome_count as double precision)
        / cast(totals.prediction_count as double precision) as outcome_rate,
        case
            when totals.bin = 0
                then
                    cast(
                        totals.squared_error_sum / totals.prediction_count
                        as double precision
                    )
        end as brier_score,
        case
            when totals.bin = 0
                then
                    rank_sums.outcome_rank_sum
                    - totals.outcome_count * (totals.outcome_count + 1) / 2
        end as outcome_wins,
        totals.outcome_count * (totals.prediction_count - totals.outcome_count)
            as pair_count
    from totals
    left join rank_sums
        on
            totals.prediction = rank_sums.prediction
            and totals.as_of = rank_sums.as_of
),

measured as (
    select
        bins.prediction,
        bins.as_of,
        bins.bin,
        bins.prediction_count,
        bins.outcome_count,
        bins.mean_probability,
        bins.outcome_rate,
        bins.brier_score,
        1 - bins.brier_score
        / nullif(bins.outcome_rate * (1 - bins.outcome_rate), 0) as brier_skill,
        cast(bins.outcome_wins / nullif(bins.pair_count, 0) as double precision) as auc,
        current_timestamp as built_at
    from bins
)

select * from measured
