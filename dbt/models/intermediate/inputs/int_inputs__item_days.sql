{#- The columns keep the names of every input; here the item stands where other inputs
    have the student, because what changes is rebuilt per item. -#}
with item_days as (
    select
        int_item_days__summarized.item_id,
        int_item_days__summarized.attempt_date,
        int_item_days__summarized.content_hash
    from {{ ref('int_item_days__summarized') }}
),

inputs as (
    select
        item_days.attempt_date || ' ' || item_days.item_id as input_key,
        cast(item_days.content_hash as text) as version,
        item_days.item_id as student_id,
        item_days.attempt_date as from_date
    from item_days
)

select * from inputs
