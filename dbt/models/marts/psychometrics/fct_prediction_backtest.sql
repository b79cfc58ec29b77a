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

-- Predictions of one value, made on any cut-off: what a rank needs.
pooled as (
    select
        spine.prediction,
        spine.as_of,
        resolved.probability,
        count(*) as prediction_count,
        count(*) filter (where resolved.has_come_true) as outcome_count
    from spine
    inner join resolved
        on
            spine.prediction = resolved.prediction
            and spine.as_of >= resolved.resolved_on
    group by spine.prediction, spine.as_of, resolved.probability
),

ranked as (
    select
        pooled.*,
        -- Lower bounds are inclusive, and 1 belongs to the last bin.
        least(cast(floor(pooled.probability * 10) as integer) + 1, 10) as bin,
        -- Twice the mean rank of the ties is a whole number.
        2 * sum(pooled.prediction_count) over (
            partition by pooled.prediction, pooled.as_of order by pooled.probability
        ) - pooled.prediction_count + 1 as double_rank
    from pooled
),

totals as (
    select
        ranked.prediction,
        ranked.as_of,
        coalesce(ranked.bin, 0) as bin,
        sum(ranked.prediction_count) as prediction_count,
        sum(ranked.outcome_count) as outcome_count,
        sum(ranked.prediction_count * ranked.probability) as probability_sum,
        sum(
            ranked.outcome_count * (1 - ranked.probability) * (1 - ranked.probability)
            + (ranked.prediction_count - ranked.outcome_count)
            * ranked.probability * ranked.probability
        ) as squared_error_sum,
        sum(ranked.outcome_count * ranked.double_rank) / 2 as outcome_rank_sum
    from ranked
    group by grouping sets (
        (ranked.prediction, ranked.as_of),
        (ranked.prediction, ranked.as_of, ranked.bin)
    )
),

bins as (
    select
        spine.prediction,
        spine.as_of,
        numbers.bin,
        cast(coalesce(totals.prediction_count, 0) as integer) as prediction_count,
        cast(coalesce(totals.outcome_count, 0) as integer) as outcome_count,
        cast(totals.probability_sum / totals.prediction_count as double precision)
            as mean_probability,
        cast(totals.outcome_count as double precision)
        / cast(totals.prediction_count as double precision) as outcome_rate,
        case
            when numbers.bin = 0
                then
                    cast(
                        totals.squared_error_sum / totals.prediction_count
                        as double precision
                    )
        end as brier_score,
        case
            when numbers.bin = 0
                then
                    totals.outcome_rank_sum
                    - totals.outcome_count * (totals.outcome_count + 1) / 2
        end as outcome_wins,
        totals.outcome_count * (totals.prediction_count - totals.outcome_count)
            as pair_count
    from spine
    cross join {{ days_series('0', '10', 'numbers', 'bin') }}
    left join totals
        on
            spine.prediction = totals.prediction
            and spine.as_of = totals.as_of
            and numbers.bin = totals.bin
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
