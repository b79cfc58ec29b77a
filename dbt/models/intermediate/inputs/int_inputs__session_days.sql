with sessions as (
    select
        fct_sessions.session_id,
        fct_sessions.revision,
        fct_sessions.first_attempt_date,
        fct_sessions.last_attempt_date
    from {{ ref('fct_sessions') }}
    where fct_sessions.attempt_count > 0
),

-- Only a session across midnight has to be looked up attempt by attempt.
session_days as (
    select
        sessions.session_id,
        sessions.revision,
        sessions.first_attempt_date as attempt_date
    from sessions
    where sessions.first_attempt_date = sessions.last_attempt_date
    union all
    select
        sessions.session_id,
        sessions.revision,
        days.attempt_date
    from sessions
    cross join
        lateral (
            select distinct fct_attempts.attempt_date
            from {{ ref('fct_attempts') }}
            where fct_attempts.session_id = sessions.session_id
        ) as days
    where sessions.first_attempt_date < sessions.last_attempt_date
),

inputs as (
    select
        session_days.session_id || ' ' || session_days.attempt_date as input_key,
        cast(session_days.revision as text) as version,
        cast(null as text) as student_id,
        session_days.attempt_date as from_date
    from session_days
)

select * from inputs
