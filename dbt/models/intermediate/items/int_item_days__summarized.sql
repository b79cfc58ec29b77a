{{ config(
    materialized='incremental',
    incremental_strategy='replace_affected',
    unique_key=['item_id', 'attempt_date'],
    on_schema_change='fail',
    pre_hook="{{ begin_build(['int_inputs__attempts']) }}",
    post_hook=[
        "{{ forget_superseded('fct_attempts') }}",
        "{{ end_build() }}",
    ],
    meta={
        'affected': 'item_days',
        'key_columns': ['item_id', 'attempt_date'],
        'settings': ['point_biserial_min_other_questions'],
    },
    indexes=[{'columns': ['attempt_date', 'item_id'], 'unique': true}]
) }}

{#- Everything that a classical item statistic adds up. A night's few sessions touch
    half of the item days of months, so that it adds to what is there, and takes away
    from it what these sessions were before: sums of whole numbers and decimals, exact
    in every order. -#}

{%- set signed = 'contributions.change * ' if is_incremental() else '' %}

with

{% if is_incremental() %}

changes as (
    select * from {{ item_day_changes() }}
),

rebuilt_days as (
    select distinct changes.attempt_date
    from changes
    where changes.is_rebuilt
),

{% endif %}

attempts as (
    select
        fct_attempts.session_id,
        fct_attempts.item_id,
        fct_attempts.attempt_date,
        fct_attempts.is_first_graded,
        fct_attempts.is_correct,
        fct_attempts.response_time_ms,
        fct_attempts.user_answer
    from {{ ref('fct_attempts') }} as fct_attempts
    {% if is_incremental() %}
    where
        fct_attempts.attempt_date in (
            select rebuilt_days.attempt_date from rebuilt_days
        )
    {% endif %}
),

session_attempts as (
    select
        fct_attempts.session_id,
        fct_attempts.is_correct
    from {{ ref('fct_attempts') }} as fct_attempts
    {% if is_incremental() %}
    where fct_attempts.session_id in (select attempts.session_id from attempts)
    {% endif %}
),

shares as (
    {{ shares_of_others('session_attempts', ['session_id']) }}
),

contributions as (
    select
        {{ item_day_contribution('attempts', 'shares') }},
        1 as change
    from attempts
    inner join shares on attempts.session_id = shares.session_id
    {% if is_incremental() %}
    union all
    select
        changes.item_id,
        changes.attempt_date,
        changes.is_first_graded,
        changes.is_right,
        changes.response_time_ms,
        changes.first_answer,
        changes.share_of_others,
        changes.change
    from changes
    where not changes.is_rebuilt
    {% endif %}
),

sums as (
    select
        contributions.item_id,
        contributions.attempt_date,
        sum(contributions.change) as attempt_count,
        sum(contributions.change) filter (where contributions.is_first_graded)
            as response_count,
        sum(contributions.change) filter (where contributions.is_right)
            as correct_count,
        sum(contributions.change) filter (
            where contributions.share_of_others is not null
        ) as pair_count,
        sum(contributions.change) filter (
            where contributions.share_of_others is not null and contributions.is_right
        ) as pair_correct_count,
        sum({{ signed }}contributions.share_of_others) as other_share_sum,
        sum(
            {{ signed }}contributions.share_of_others * contributions.share_of_others
        ) as other_share_square_sum,
        {% if not is_incremental() -%}
        {{ sorted_array('contributions.response_time_ms') }} as response_times_ms,
        {%- endif %}
        sum({{ signed }}contributions.share_of_others) filter (
            where contributions.is_right
        ) as correct_other_share_sum
    from contributions
    group by contributions.item_id, contributions.attempt_date
),

answer_changes as (
    select
        contributions.item_id,
        contributions.attempt_date,
        contributions.first_answer as answer,
        sum(contributions.change) as answer_count
    from contributions
    where contributions.first_answer is not null
    group by
        contributions.item_id, contributions.attempt_date, contributions.first_answer
    having sum(contributions.change) <> 0
),

{% if is_incremental() %}

existing as (
    select existing.*
    from {{ this }} as existing
    inner join sums
        on
            existing.item_id = sums.item_id
            and existing.attempt_date = sums.attempt_date
    where
        existing.attempt_date not in (
            select rebuilt_days.attempt_date from rebuilt_days
        )
),

time_changes as (
    select
        contributions.item_id,
        contributions.attempt_date,
        contributions.response_time_ms,
        sum(contributions.change) as time_count
    from contributions
    where contributions.response_time_ms is not null
    group by
        contributions.item_id,
        contributions.attempt_date,
        contributions.response_time_ms
    having sum(contributions.change) <> 0
),

timed_days as (
    select distinct
        time_changes.item_id,
        time_changes.attempt_date
    from time_changes
),

time_counts as (
    select
        all_times.item_id,
        all_times.attempt_date,
        all_times.response_time_ms,
        cast(sum(all_times.time_count) as integer) as time_count
    from (
        select
            existing.item_id,
            existing.attempt_date,
            elements.response_time_ms,
            1 as time_count
        from existing
        inner join timed_days
            on
                existing.item_id = timed_days.item_id
                and existing.attempt_date = timed_days.attempt_date
        cross join {{ array_elements(
            'existing.response_times_ms', 'elements', 'response_time_ms'
        ) }}
        union all
        select
            time_changes.item_id,
            time_changes.attempt_date,
            time_changes.response_time_ms,
            time_changes.time_count
        from time_changes
    ) as all_times
    group by all_times.item_id, all_times.attempt_date, all_times.response_time_ms
),

times as (
    select
        time_counts.item_id,
        time_counts.attempt_date,
        {{ sorted_array('time_counts.response_time_ms') }} as response_times_ms
    from time_counts
    cross join {{ days_series('1', 'time_counts.time_count', 'copies', 'number') }}
    group by time_counts.item_id, time_counts.attempt_date
),

answered_days as (
    select distinct
        answer_changes.item_id,
        answer_changes.attempt_date
    from answer_changes
),

{% endif %}

answer_counts as (
    select
        all_answers.item_id,
        all_answers.attempt_date,
        all_answers.answer,
        sum(all_answers.answer_count) as answer_count
    from (
        select * from answer_changes
        {% if is_incremental() %}
        union all
        select
            existing.item_id,
            existing.attempt_date,
            entries.answer,
            cast(entries.answer_count as integer) as answer_count
        from existing
        inner join answered_days
            on
                existing.item_id = answered_days.item_id
                and existing.attempt_date = answered_days.attempt_date
        cross join {{ json_object_entries(
            'existing.answer_counts', 'entries', 'answer', 'answer_count'
        ) }}
        {% endif %}
    ) as all_answers
    group by all_answers.item_id, all_answers.attempt_date, all_answers.answer
    having sum(all_answers.answer_count) > 0
),

answers as (
    select
        answer_counts.item_id,
        answer_counts.attempt_date,
        {{ json_object_agg('answer_counts.answer', 'answer_counts.answer_count') }}
            as answer_counts
    from answer_counts
    group by answer_counts.item_id, answer_counts.attempt_date
),

item_days as (
    select
        sums.item_id,
        sums.attempt_date,
        {{ sum_after_changes('attempt_count', 'integer') }} as attempt_count,
        {{ sum_after_changes('response_count', 'integer') }} as response_count,
        {{ sum_after_changes('correct_count', 'integer') }} as correct_count,
        {{ sum_after_changes('pair_count', 'integer') }} as pair_count,
        {{ sum_after_changes('pair_correct_count', 'integer') }} as pair_correct_count,
        {{ sum_after_changes('other_share_sum', 'numeric(38, 15)') }}
            as other_share_sum,
        {{ sum_after_changes('other_share_square_sum', 'numeric(38, 30)') }}
            as other_share_square_sum,
        {{ sum_after_changes('correct_other_share_sum', 'numeric(38, 15)') }}
            as correct_other_share_sum,
        {% if is_incremental() -%}
        case
            when timed_days.item_id is null then existing.response_times_ms
            else times.response_times_ms
        end as response_times_ms,
        case
            when answered_days.item_id is null then existing.answer_counts
            else answers.answer_counts
        end as answer_counts
        {%- else -%}
        sums.response_times_ms,
        answers.answer_counts
        {%- endif %}
    from sums
    {% if is_incremental() -%}
    left join existing
        on
            sums.item_id = existing.item_id
            and sums.attempt_date = existing.attempt_date
    left join timed_days
        on
            sums.item_id = timed_days.item_id
            and sums.attempt_date = timed_days.attempt_date
    left join times
        on
            sums.item_id = times.item_id
            and sums.attempt_date = times.attempt_date
    left join answered_days
        on
            sums.item_id = answered_days.item_id
            and sums.attempt_date = answered_days.attempt_date
    {% endif -%}
    left join answers
        on
            sums.item_id = answers.item_id
            and sums.attempt_date = answers.attempt_date
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
            'item_days.response_times_ms',
            'item_days.answer_counts',
        ]) }} as content_hash
    from item_days
    where item_days.attempt_count > 0
)

select * from hashed
