{{ config(
    materialized='incremental',
    incremental_strategy='replace_affected',
    unique_key=['item_id', 'attempt_date'],
    on_schema_change='fail',
    pre_hook="{{ begin_build(['int_inputs__session_days']) }}",
    post_hook="{{ end_build() }}",
    meta={
        'affected': 'days',
        'key_column': 'attempt_date',
        'settings': ['point_biserial_min_other_questions'],
    },
    indexes=[{'columns': ['attempt_date', 'item_id'], 'unique': true}]
) }}

{#- Everything that a classical item statistic adds up, so that a night reads the
    attempts of the days that changed only. -#}

with attempts as (
    select
        fct_attempts.item_id,
        fct_attempts.attempt_date,
        fct_attempts.is_first_graded,
        fct_attempts.is_correct,
        fct_attempts.response_time_ms,
        case
            when fct_attempts.is_first_graded
                -- A long free text counts under its beginning.
                then nullif(left(fct_attempts.user_answer, 100), '')
        end as first_answer,
        case when fct_attempts.is_first_graded then fct_sessions.graded_count - 1 end
            as other_graded_count,
        fct_sessions.correct_count - cast(fct_attempts.is_correct as integer)
            as other_correct_count
    from {{ ref('fct_attempts') }} as fct_attempts
    inner join {{ ref('fct_sessions') }} as fct_sessions
        on fct_attempts.session_id = fct_sessions.session_id
    {% if is_incremental() %}
    where
        fct_attempts.attempt_date in (
            select affected_days.attempt_date
            from {{ affected_days() }} as affected_days
        )
    {% endif %}
),

counts as (
    select
        attempts.item_id,
        attempts.attempt_date,
        cast(count(*) as integer) as attempt_count,
        cast(count(*) filter (where attempts.is_first_graded) as integer)
            as response_count,
        cast(
            count(*) filter (where attempts.is_first_graded and attempts.is_correct)
            as integer
        ) as correct_count,
        {{ sorted_array('attempts.response_time_ms') }} as response_times_ms
    from attempts
    group by attempts.item_id, attempts.attempt_date
),

-- Whole numbers first, fractions after, and these in decimals: the sums are the same
-- in every order, and a correlation of equal shares is no rounding error.
shares_by_length as (
    select
        attempts.item_id,
        attempts.attempt_date,
        attempts.other_graded_count,
        count(*) as pair_count,
        count(*) filter (where attempts.is_correct) as correct_count,
        cast(sum(attempts.other_correct_count) as numeric(38, 20)) as share_sum,
        cast(
            sum(
                cast(attempts.other_correct_count as bigint)
                * attempts.other_correct_count
            ) as numeric(38, 20)
        ) as share_square_sum,
        cast(
            coalesce(
                sum(attempts.other_correct_count) filter (where attempts.is_correct), 0
            ) as numeric(38, 20)
        ) as correct_share_sum,
        min(attempts.other_correct_count) as lowest_correct_count,
        max(attempts.other_correct_count) as highest_correct_count
    from attempts
    where attempts.other_graded_count >= {{ var('point_biserial_min_other_questions') }}
    group by attempts.item_id, attempts.attempt_date, attempts.other_graded_count
),

shares as (
    select
        by_length.item_id,
        by_length.attempt_date,
        cast(sum(by_length.pair_count) as integer) as pair_count,
        cast(sum(by_length.correct_count) as integer) as pair_correct_count,
        sum(by_length.share_sum / by_length.other_graded_count) as other_share_sum,
        sum(
            by_length.share_square_sum
            / (
                cast(by_length.other_graded_count as bigint)
                * by_length.other_graded_count
            )
        ) as other_share_square_sum,
        sum(by_length.correct_share_sum / by_length.other_graded_count)
            as correct_other_share_sum,
        min(
            cast(by_length.lowest_correct_count as double precision)
            / by_length.other_graded_count
        ) as lowest_other_share,
        max(
            cast(by_length.highest_correct_count as double precision)
            / by_length.other_graded_count
        ) as highest_other_share
    from shares_by_length as by_length
    group by by_length.item_id, by_length.attempt_date
),

answers as (
    select
        counted.item_id,
        counted.attempt_date,
        {{ json_object_agg('counted.first_answer', 'counted.answer_count') }}
            as answer_counts
    from (
        select
            attempts.item_id,
            attempts.attempt_date,
            attempts.first_answer,
            count(*) as answer_count
        from attempts
        where attempts.first_answer is not null
        group by attempts.item_id, attempts.attempt_date, attempts.first_answer
    ) as counted
    group by counted.item_id, counted.attempt_date
),

item_days as (
    select
        counts.item_id,
        counts.attempt_date,
        counts.attempt_count,
        counts.response_count,
        counts.correct_count,
        coalesce(shares.pair_count, 0) as pair_count,
        coalesce(shares.pair_correct_count, 0) as pair_correct_count,
        cast(coalesce(shares.other_share_sum, 0) as numeric(38, 20)) as other_share_sum,
        cast(coalesce(shares.other_share_square_sum, 0) as numeric(38, 20))
            as other_share_square_sum,
        cast(coalesce(shares.correct_other_share_sum, 0) as numeric(38, 20))
            as correct_other_share_sum,
        shares.lowest_other_share,
        shares.highest_other_share,
        counts.response_times_ms,
        answers.answer_counts
    from counts
    left join shares
        on
            counts.item_id = shares.item_id
            and counts.attempt_date = shares.attempt_date
    left join answers
        on
            counts.item_id = answers.item_id
            and counts.attempt_date = answers.attempt_date
),

hashed as (
    select
        item_days.*,
        {{ row_hash([
            'item_days.attempt_count',
            'item_days.response_count',
            'item_days.correct_count',
            'item_days.pair_count',
            'item_days.pair_correct_count',
            'item_days.other_share_sum',
            'item_days.other_share_square_sum',
            'item_days.correct_other_share_sum',
            'item_days.lowest_other_share',
            'item_days.highest_other_share',
            'item_days.response_times_ms',
            'item_days.answer_counts',
        ]) }} as content_hash
    from item_days
)

select * from hashed
