-- Proves that nothing delivered is lost: for every ready result, the questions in its
-- document are the attempts and the rejects that are stored; a result that is not ready
-- has neither. Counted from the document, apart from the parser.
-- It matters whenever the parser or the incremental build changes.
-- To resolve, look up the session in stg_exam__session_questions; if the marts are
-- behind the view, build them, and if that does not help, with --full-refresh.
-- An error, because every count and KPI rests on it. Deliveries that arrived after
-- either mart was built are left out by their row version.

with

results as (

    select *
    from {{ ref('stg_exam__results') }}
    where {{ is_session_to_test('session_id') }}

),

consumed_for_attempts as (

    select consumed.*
    from {{ consumed_relation('fct_attempts') }} as consumed
    where consumed.input = 'int_inputs__deliveries'

),

consumed_for_rejected_questions as (

    select consumed.*
    from {{ consumed_relation('fct_rejected_questions') }} as consumed
    where consumed.input = 'int_inputs__deliveries'

),

deliveries as (

    select *
    from {{ ref('int_inputs__deliveries') }}
    where {{ is_session_to_test('input_key') }}

),

attempts as (

    select *
    from {{ ref('fct_attempts') }}
    where {{ is_session_to_test('session_id') }}

),

rejected_questions as (

    select *
    from {{ ref('fct_rejected_questions') }}
    where {{ is_session_to_test('session_id') }}

),

delivered as (

    select
        results.session_id,
        case
            when results.is_ready then {{ delivered_count('results.result_json') }}
            else 0
        end as delivered_count
    from results
    inner join deliveries
        on results.session_id = deliveries.input_key
    -- Of a second equality the planner would expect one row, and nest loops.
    inner join consumed_for_attempts
        on
            deliveries.input_key = consumed_for_attempts.input_key
            and (deliveries.version = consumed_for_attempts.version) is true
    inner join consumed_for_rejected_questions
        on
            deliveries.input_key = consumed_for_rejected_questions.input_key
            and (deliveries.version = consumed_for_rejected_questions.version) is true

),

-- Stacked and added up, not joined: the planner takes deliveries for one row, and would
-- count everything stored once for each of them.
question_counts as (

    select
        session_id,
        delivered_count,
        0 as stored_count,
        true as is_delivered
    from delivered
    union all
    select
        session_id,
        0 as delivered_count,
        count(*) as stored_count,
        false as is_delivered
    from attempts
    group by session_id
    union all
    select
        session_id,
        0 as delivered_count,
        count(*) as stored_count,
        false as is_delivered
    from rejected_questions
    group by session_id

)

select
    session_id,
    sum(delivered_count) as delivered_count,
    sum(stored_count) as stored_count
from question_counts
group by session_id
having
    bool_or(is_delivered)
    and sum(delivered_count) <> sum(stored_count)
