{{ config(
    materialized='incremental',
    incremental_strategy='replace_differing',
    unique_key=['item_id'],
    on_schema_change='fail',
    indexes=[{'columns': ['item_id'], 'unique': true}]
) }}

with

questions as (

    select * from {{ ref('stg_exam__questions') }}

),

attempts as (

    select * from {{ ref('fct_attempts') }}

),

attempted_items as (

    select item_days.item_id
    from {{ ref('int_item_days__summarized') }} as item_days
    group by item_days.item_id

),

items_without_topic as (

    select attempted_items.item_id
    from attempted_items
    left join questions
        on attempted_items.item_id = questions.item_id
    where questions.topic_id is null

),

-- Most attempts of an item name the same topic; the smallest id settles a tie, so that
-- the choice does not depend on the order of arrival. Only where the question has none:
-- of every other item the topics that were delivered say nothing here.
delivered_topics as (

    select
        attempts.item_id,
        attempts.topic_id,
        count(*) as attempt_count
    from attempts
    where
        attempts.item_id in (
            select items_without_topic.item_id
            from items_without_topic
        )
    group by attempts.item_id, attempts.topic_id

),

ranked_topics as (

    select
        item_id,
        topic_id,
        row_number() over (
            partition by item_id
            order by
                (topic_id is null) asc,
                attempt_count desc,
                {{ bytewise('topic_id') }} asc
        ) as topic_rank
    from delivered_topics

),

delivered_items as (

    select
        item_id,
        topic_id
    from ranked_topics
    where topic_rank = 1

),

parameters as (

    select
        item_id,
        {{ json_get('meta', 'irt') }} as irt,
        coalesce({{ json_array_holds(json_get('meta', 'tags'), 'anchor') }}, false)
            as is_tagged_anchor
    from questions

),

anchors as (

    select
        item_id,
        is_tagged_anchor,
        cast({{ json_number(json_get('irt', 'a')) }} as double precision) as anchor_a,
        cast({{ json_number(json_get('irt', 'b')) }} as double precision) as anchor_b,
        cast(
            coalesce({{ json_number(json_get('irt', 'c')) }}, 0) as double precision
        ) as anchor_c,
        {{ json_get_text('irt', 'model') }} as anchor_model,
        {{ json_get_text('irt', 'version') }} as anchor_version
    from parameters

),

items as (

    select item_id from questions
    union
    select item_id from attempted_items

),

final as (

    select
        items.item_id,
        coalesce(questions.topic_id, delivered_items.topic_id) as topic_id,
        questions.content,
        questions.difficulty_label,
        coalesce(
            anchors.is_tagged_anchor
            and anchors.anchor_a > 0
            and anchors.anchor_b is not null
            and anchors.anchor_c >= 0
            and anchors.anchor_c < 1,
            false
        ) as is_anchor,
        anchors.anchor_a,
        anchors.anchor_b,
        anchors.anchor_c,
        anchors.anchor_model,
        anchors.anchor_version,
        questions.item_id is not null as is_in_question_bank
    from items
    left join questions
        on items.item_id = questions.item_id
    left join delivered_items
        on items.item_id = delivered_items.item_id
    left join anchors
        on items.item_id = anchors.item_id

)

select * from final
