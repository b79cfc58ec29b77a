with sessions as (
    select
        fct_sessions.session_id,
        fct_sessions.revision,
        fct_sessions.first_attempt_date,
        fct_sessions.last_attempt_date
    from {{ ref('fct_sessions') }}
    where fct_sessions.attempt_count > 0
),

-- Every day of a session across midnight, also one on which no attempt fell: building
-- that day's items costs less than looking its attempts up.
session_days as (
    select
        sessions.session_id,
        sessions.revision,
        days.attempt_date
    from sessions
    cross join
        {{ days_series(
            'sessions.first_attempt_date', 'sessions.last_attempt_date', 'days',
            'attempt_date'
        ) }}
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
