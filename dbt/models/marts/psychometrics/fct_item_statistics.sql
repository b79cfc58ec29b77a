{{ config(
    materialized='incremental',
    incremental_strategy='replace_affected',
    unique_key=['item_id', 'as_of'],
    on_schema_change='fail',
    pre_hook="{{ begin_build(['int_inputs__item_days']) }}",
    post_hook=[
        "{{ delete_superseded_as_of() }}",
        "{{ end_build() }}",
    ],
    meta={
        'affected': 'student_days',
        'date_column': 'as_of',
        'student_column': 'item_id',
        'settings': ['point_biserial_min_other_questions', 'item_answer_count_max'],
    },
    indexes=[{'columns': ['as_of', 'item_id'], 'unique': true}]
) }}

{#- Every row is a running sum of item days up to its as_of. Item days count under the
    first as_of on or after them, and for an item that is built in part, everything
    older counts under the first as_of that is built. -#}

with affected_items as (
    select
        student_id as item_id,
        from_date
    from {{ affected_students() }}
),

item_days as (
    select int_item_days__summarized.*
    from {{ ref('int_item_days__summarized') }} as int_item_days__summarized
    where int_item_days__summarized.attempt_date <= {{ as_of_date() }}
),

history as (
    select min(item_days.attempt_date) as first_date
    from item_days
),

as_ofs as (
    select days.as_of
    from history
    cross join {{ days_series('history.first_date', as_of_date(), 'days', 'as_of') }}
    where {{ is_as_of('days.as_of') }}
),

items as (
    select
        item_days.item_id,
        min(item_days.attempt_date) as first_date
    from item_days
    group by item_days.item_id
),

scope as (
    select
        items.item_id,
        greatest(
            {{ as_of_for('items.first_date') }},
            least(
                {{ as_of_for('affected_items.from_date') }},
                {{ as_of_for(first_as_of_to_build()) }}
            )
        ) as first_as_of
    from items
    left join affected_items
        on items.item_id = affected_items.item_id
    where
        affected_items.item_id is not null
        or {{ first_as_of_to_build() }} is not null
),

spine as (
    select
        scope.item_id,
        as_ofs.as_of
    from scope
    inner join as_ofs
        on scope.first_as_of <= as_ofs.as_of
),

item_days_in_scope as (
    select
        item_days.*,
        greatest({{ as_of_for('item_days.attempt_date') }}, scope.first_as_of) as as_of
    from item_days
    inner join scope
        on item_days.item_id = scope.item_id
),

steps as (
    select
        item_days_in_scope.item_id,
        item_days_in_scope.as_of,
        sum(item_days_in_scope.attempt_count) as attempt_count,
        sum(item_days_in_scope.response_count) as response_count,
        sum(item_days_in_scope.correct_count) as correct_count,
        sum(item_days_in_scope.pair_count) as pair_count,
        sum(item_days_in_scope.pair_correct_count) as pair_correct_count,
        sum(item_days_in_scope.other_share_sum) as other_share_sum,
        sum(item_days_in_scope.other_share_square_sum) as other_share_square_sum,
        sum(item_days_in_scope.correct_other_share_sum) as correct_other_share_sum
    from item_days_in_scope
    group by item_days_in_scope.item_id, item_days_in_scope.as_of
),

totals as (
    select
        spine.item_id,
        spine.as_of,
        sum(steps.attempt_count) over so_far as exposure_count,
        sum(steps.response_count) over so_far as response_count,
        sum(steps.correct_count) over so_far as correct_count,
        sum(steps.pair_count) over so_far as pair_count,
        sum(steps.pair_correct_count) over so_far as pair_correct_count,
        sum(steps.other_share_sum) over so_far as other_share_sum,
        sum(steps.other_share_square_sum) over so_far as other_share_square_sum,
        sum(steps.correct_other_share_sum) over so_far as correct_other_share_sum
    from spine
    left join steps
        on
            spine.item_id = steps.item_id
            and spine.as_of = steps.as_of
    window so_far as (partition by spine.item_id order by spine.as_of)
),

answer_steps as (
    select
        item_days_in_scope.item_id,
        item_days_in_scope.as_of,
        entries.answer,
        sum(cast(entries.answer_count as integer)) as answer_count
    from item_days_in_scope
    cross join {{ json_object_entries(
        'item_days_in_scope.answer_counts', 'entries', 'answer', 'answer_count'
    ) }}
    group by item_days_in_scope.item_id, item_days_in_scope.as_of, entries.answer
),

first_answers as (
    select
        answer_steps.item_id,
        answer_steps.answer,
        min(answer_steps.as_of) as first_as_of
    from answer_steps
    group by answer_steps.item_id, answer_steps.answer
),

answer_totals as (
    select
        first_answers.item_id,
        spine.as_of,
        first_answers.answer,
        sum(answer_steps.answer_count) over (
            partition by first_answers.item_id, first_answers.answer
            order by spine.as_of
        ) as answer_count
    from first_answers
    inner join spine
        on
            first_answers.item_id = spine.item_id
            and first_answers.first_as_of <= spine.as_of
    left join answer_steps
        on
            first_answers.item_id = answer_steps.item_id
            and first_answers.answer = answer_steps.answer
            and spine.as_of = answer_steps.as_of
),

answers_by_frequency as (
    select
        answer_totals.*,
        row_number() over (
            partition by answer_totals.item_id, answer_totals.as_of
            order by
                answer_totals.answer_count desc,
                {{ bytewise('answer_totals.answer') }}
        ) as frequency_rank
    from answer_totals
),

answers as (
    select
        answers_by_frequency.item_id,
        answers_by_frequency.as_of,
        {{ json_object_agg(
            'answers_by_frequency.answer',
            'answers_by_frequency.answer_count',
            'answers_by_frequency.frequency_rank <= ' ~ var('item_answer_count_max'),
        ) }} as answer_counts,
        cast(
            sum(
                case
                    when
                        answers_by_frequency.frequency_rank
                        > {{ var('item_answer_count_max') }}
                        then answers_by_frequency.answer_count
                    else 0
                end
            ) as integer
        ) as unlisted_answer_count
    from answers_by_frequency
    group by answers_by_frequency.item_id, answers_by_frequency.as_of
),

{{ running_medians('item_days_in_scope', 'response_times_ms', 'spine') }},

statistics as (
    select
        totals.item_id,
        totals.as_of,
        cast(totals.exposure_count as integer) as exposure_count,
        cast(totals.response_count as integer) as response_count,
        cast(totals.correct_count as integer) as correct_count,
        cast(totals.correct_count as double precision)
        / cast(nullif(totals.response_count, 0) as double precision)
            as p_value,
        cast(totals.pair_count as integer) as point_biserial_count,
        case
            when
                totals.pair_correct_count > 0
                and totals.pair_correct_count < totals.pair_count
                -- Decimals: of equal shares it is 0 exactly.
                and totals.pair_count * totals.other_share_square_sum
                > totals.other_share_sum * totals.other_share_sum
                then
                    cast(
                        totals.pair_count * totals.correct_other_share_sum
                        - totals.pair_correct_count * totals.other_share_sum
                        as double precision
                    )
                    / sqrt(
                        cast(
                            (
                                totals.pair_correct_count
                                * (totals.pair_count - totals.pair_correct_count)
                            )
                            * (
                                totals.pair_count * totals.other_share_square_sum
                                - totals.other_share_sum * totals.other_share_sum
                            ) as double precision
                        )
                    )
        end as point_biserial,
        cast(coalesce(medians.value_count, 0) as integer) as timed_attempt_count,
        medians.median as median_time_ms,
        answers.answer_counts,
        answers.unlisted_answer_count,
        current_timestamp as built_at
    from totals
    left join medians
        on
            totals.item_id = medians.item_id
            and totals.as_of = medians.as_of
    left join answers
        on
            totals.item_id = answers.item_id
            and totals.as_of = answers.as_of
)

select * from statistics
