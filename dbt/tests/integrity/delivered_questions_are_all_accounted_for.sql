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
    where {{ is_session_to_test('session_id', is_stored=false) }}

),

consumed_for_attempts as (

    select consumed.*
    from {{ consumed_relation('fct_attempts') }} as consumed
    where
        consumed.input = 'int_inputs__deliveries'
        and {{ is_session_to_test('consumed.input_key') }}

),

consumed_for_rejected_questions as (

    select consumed.*
    from {{ consumed_relation('fct_rejected_questions') }} as consumed
    where
        consumed.input = 'int_inputs__deliveries'
        and {{ is_session_to_test('consumed.input_key') }}

),

sessions as (

    select *
    from {{ ref('stg_exam__sessions') }}
    where {{ is_session_to_test('session_id', is_stored=false) }}

),

deliveries as (

    {{ deliveries('results', 'sessions') | indent }}

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

-- Stacked and added up, not joined: the planner takes deliveries of a version for
-- one row, and would read everything once for each of them.
stacked as (

    select
        results.session_id,
        case
            when results.is_ready then {{ delivered_count('results.result_json') }}
            else 0
        end as delivered_count,
        0 as stored_count,
        true as is_delivered,
        cast(null as text) as version_now,
        cast(null as text) as version_for_attempts,
        cast(null as text) as version_for_rejected_questions
    from results
    union all
    select
        deliveries.input_key as session_id,
        0 as delivered_count,
        0 as stored_count,
        false as is_delivered,
        deliveries.version as version_now,
        null as version_for_attempts,
        null as version_for_rejected_questions
    from deliveries
    union all
    select
        consumed_for_attempts.input_key as session_id,
        0 as delivered_count,
        0 as stored_count,
        false as is_delivered,
        null as version_now,
        consumed_for_attempts.version as version_for_attempts,
        null as version_for_rejected_questions
    from consumed_for_attempts
    union all
    select
        consumed_for_rejected_questions.input_key as session_id,
        0 as delivered_count,
        0 as stored_count,
        false as is_delivered,
        null as version_now,
        null as version_for_attempts,
        consumed_for_rejected_questions.version as version_for_rejected_questions
    from consumed_for_rejected_questions
    union all
    select
        attempts.session_id,
        0 as delivered_count,
        count(*) as stored_count,
        false as is_delivered,
        null as version_now,
        null as version_for_attempts,
        null as version_for_rejected_questions
    from attempts
    group by attempts.session_id
    union all
    select
        rejected_questions.session_id,
        0 as delivered_count,
        count(*) as stored_count,
        false as is_delivered,
        null as version_now,
        null as version_for_attempts,
        null as version_for_rejected_questions
    from rejected_questions
    group by rejected_questions.session_id

)

select
    stacked.session_id,
    sum(stacked.delivered_count) as delivered_count,
    sum(stacked.stored_count) as stored_count
from stacked
group by stacked.session_id
having
    bool_or(stacked.is_delivered)
    and max(stacked.version_now) = max(stacked.version_for_attempts)
    and max(stacked.version_now) = max(stacked.version_for_rejected_questions)
    and sum(stacked.delivered_count) <> sum(stacked.stored_count)
