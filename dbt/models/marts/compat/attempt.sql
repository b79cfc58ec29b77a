-- The relation that readers of the application's former `attempt` table expect.

select
    {{ row_hash(['attempts.session_id', 'attempts.position']) }} as id,
    attempts.student_id,
    attempts.item_id,
    attempts.is_correct as correct,
    attempts.response_time_ms,
    coalesce(attempts.hint_count > 0, false) as hint_used,
    attempts.answered_at as completed_at,
    attempts.started_at,
    attempts.attempt_no,
    attempts.session_id,
    attempts.topic_id
from {{ ref('fct_attempts') }} as attempts
