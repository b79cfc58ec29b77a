-- A view without CTEs, so that a look-back or one student is found by index.

select
    attempts.student_id,
    attempts.item_id,
    attempts.session_id,
    attempts.position,
    attempts.is_correct,
    attempts.answered_at,
    attempts.topic_id,
    attempts.exam_id,
    attempts.org_id,
    attempts.attempt_date
from {{ ref('fct_attempts') }} as attempts
where attempts.is_first_graded
