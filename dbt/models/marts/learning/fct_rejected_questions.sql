{{ config(
    materialized='incremental',
    incremental_strategy='replace_affected',
    unique_key=['session_id', 'position'],
    on_schema_change='fail',
    pre_hook="{{ begin_build(['int_inputs__deliveries']) }}",
    post_hook="{{ end_build() }}",
    meta={'affected': 'sessions', 'settings': ['earliest_event_date']},
    indexes=[{'columns': ['session_id', 'position'], 'unique': true}]
) }}

with

{% if is_incremental() %}

affected_sessions as (

    select session_id from {{ affected_sessions() }}

),

{% endif %}

session_questions as (

    select * from {{ ref('stg_exam__session_questions') }}
    {% if is_incremental() %}
    where {{ is_among('session_id', 'affected_sessions') }}
    {% endif %}

),

rejected_questions as (

    select
        session_questions.session_id,
        session_questions.position,
        session_questions.student_id,
        session_questions.rejection_reason as reason,
        session_questions.raw_element,
        session_questions.result_updated_at
    from session_questions
    where
        session_questions.rejection_reason is not null

)

select * from rejected_questions
