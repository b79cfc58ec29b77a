-- Without CTEs, for the reason given in stg_exam__results.

select

    ---------- ids
    sessions.id as session_id,
    sessions.user_id as student_id,
    cast(sessions.exam_id as text) as exam_id,
    cast(sessions.classroom_id as text) as classroom_id,
    cast(sessions.org_id as text) as org_id,

    ---------- text
    sessions.status,

    ---------- timestamps
    {{ possible_time('sessions.started_at') }} as started_at,
    {{ possible_time('sessions.ended_at') }} as ended_at

from {{ optional_source('exam', 'session') }} as sessions
where {{ is_not_erased('sessions.user_id') }}
