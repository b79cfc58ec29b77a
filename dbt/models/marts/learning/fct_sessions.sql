{{ config(
    materialized='incremental',
    incremental_strategy='replace_affected',
    unique_key=['session_id'],
    on_schema_change='fail',
    pre_hook="{{ begin_build(['int_inputs__attempted_deliveries', 'int_inputs__attempts']) }}",
    post_hook="{{ end_build() }}",
    meta={'affected': 'sessions', 'settings': ['earliest_event_date']},
    indexes=[
        {'columns': ['session_id'], 'unique': true},
        {'columns': ['student_id', 'session_date']},
    ]
) }}

with

{% if is_incremental() %}

affected_sessions as (

    select session_id from {{ affected_sessions() }}

),

{% endif %}

results as (

    select * from {{ ref('stg_exam__results') }}

),

sessions as (

    select * from {{ ref('stg_exam__sessions') }}

),

attempts as (

    select * from {{ ref('fct_attempts') }}

),

attempted_deliveries as (

    select * from {{ ref('int_inputs__attempted_deliveries') }}

),

affected_results as (

    select *
    from results
    {% if is_incremental() %}
    where {{ is_among('session_id', 'affected_sessions') }}
    {% endif %}

),

affected_session_rows as (

    select *
    from sessions
    {% if is_incremental() %}
    where {{ is_among('session_id', 'affected_sessions') }}
    {% endif %}

),

affected_attempts as (

    select attempts.*
    from attempts
    {% if is_incremental() %}
    inner join affected_sessions
        on attempts.session_id = affected_sessions.session_id
    {% endif %}

),

deliveries_now as (

    {{ deliveries('affected_results', 'affected_session_rows') | indent }}

),

-- A result may have been delivered again since fct_attempts was built. Who reads the
-- attempts of a session by its version must not take the old ones for the new. Joined
-- by the key alone: of two equalities the planner would expect one row, and nest loops.
attempted_sessions as (

    select
        deliveries_now.input_key as session_id,
        deliveries_now.version = attempted_deliveries.version as is_attempted_version
    from deliveries_now
    inner join attempted_deliveries
        on deliveries_now.input_key = attempted_deliveries.input_key

),

session_attempts as (

    select
        session_id,
        count(*) as attempt_count,
        count(is_correct) as graded_count,
        count(*) filter (where is_correct) as correct_count,
        sum(response_time_ms) as response_time_ms,
        min(answered_at) as first_answered_at,
        max(answered_at) as last_answered_at,
        min(attempt_date) as first_attempt_date,
        max(attempt_date) as last_attempt_date,
        {{ combine_hashes(row_hash([
            'position',
            'student_id',
            'org_id',
            'exam_id',
            'item_id',
            'topic_id',
            'is_topic_from_question',
            'is_correct',
            'is_answered',
            'response_time_ms',
            'hint_count',
            'user_answer',
            'started_at',
            'answered_at',
            'attempt_date',
            'attempt_no',
            'is_first_graded',
        ])) }} as attempts_hash
    from affected_attempts
    group by session_id

),

-- The result's student prevails: it is whose answers these are. A session row without a
-- ready result is a visit, and counts as activity.
deliveries as (

    select
        coalesce(results.session_id, sessions.session_id) as session_id,
        coalesce(results.is_ready, false) as is_result_ready,
        coalesce(
            case when results.is_ready then nullif(results.student_id, '') end,
            nullif(sessions.student_id, '')
        ) as student_id,
        coalesce(results.org_id, sessions.org_id) as org_id,
        coalesce(results.exam_id, sessions.exam_id) as exam_id,
        sessions.classroom_id,
        sessions.started_at,
        sessions.ended_at,
        results.created_at as result_created_at,
        results.updated_at as result_updated_at,
        case
            when attempted_sessions.is_attempted_version then results.result_version
        end as result_version,
        case
            when results.session_id is null then 0
            else {{ delivered_count('results.result_json') }}
        end as delivered_count
    from affected_results as results
    full join affected_session_rows as sessions
        on results.session_id = sessions.session_id
    left join attempted_sessions
        on results.session_id = attempted_sessions.session_id

),

joined as (

    select
        deliveries.*,
        coalesce(
            deliveries.started_at,
            session_attempts.first_answered_at,
            case when deliveries.is_result_ready then deliveries.result_created_at end
        ) as session_started_at,
        coalesce(
            case
                when deliveries.ended_at >= deliveries.started_at
                    then
                        {{ seconds_between(
                            'deliveries.started_at', 'deliveries.ended_at'
                        ) }}
            end,
            cast(session_attempts.response_time_ms as double precision) / 1000
        ) as duration_seconds,
        cast(coalesce(session_attempts.attempt_count, 0) as integer) as attempt_count,
        cast(coalesce(session_attempts.graded_count, 0) as integer) as graded_count,
        cast(coalesce(session_attempts.correct_count, 0) as integer) as correct_count,
        session_attempts.first_answered_at,
        session_attempts.last_answered_at,
        session_attempts.first_attempt_date,
        session_attempts.last_attempt_date,
        session_attempts.attempts_hash
    from deliveries
    left join session_attempts
        on deliveries.session_id = session_attempts.session_id
    where deliveries.student_id is not null

),

final as (

    select
        session_id,
        student_id,
        org_id,
        exam_id,
        classroom_id,
        is_result_ready,
        session_started_at as started_at,
        ended_at,
        {{ local_date('session_started_at') }} as session_date,
        duration_seconds,
        delivered_count,
        attempt_count,
        case when is_result_ready then delivered_count - attempt_count else 0 end
            as rejected_count,
        graded_count,
        correct_count,
        first_answered_at,
        last_answered_at,
        first_attempt_date,
        last_attempt_date,
        result_version,
        result_updated_at,
        {{ row_hash([
            'student_id',
            'org_id',
            'exam_id',
            'classroom_id',
            'is_result_ready',
            'session_started_at',
            'ended_at',
            'duration_seconds',
            'delivered_count',
            'attempts_hash',
        ]) }} as revision
    from joined
    where session_started_at is not null

)

select * from final
