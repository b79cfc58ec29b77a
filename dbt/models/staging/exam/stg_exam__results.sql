-- Without CTEs, like every view here that is read one student or session at a time:
-- PostgreSQL joins by index only into a view that it can dissolve into the query, and
-- it dissolves none that begins with WITH.

select

    ---------- ids
    exam_results.session_id,
    exam_results.user_id as student_id,
    cast(exam_results.exam_id as text) as exam_id,
    cast(exam_results.org_id as text) as org_id,

    ---------- text
    exam_results.status,
    exam_results.result_json,
    {{ row_version('exam_results') }} as result_version,

    ---------- numerics
    exam_results.score_raw,
    exam_results.score_scaled,
    exam_results.standard_error,
    exam_results.percentile,

    ---------- booleans
    exam_results.status = 'ready' as is_ready,

    ---------- timestamps
    {{ possible_time('exam_results.created_at') }} as created_at,
    exam_results.updated_at

from {{ source('exam', 'exam_results') }} as exam_results
where {{ is_not_erased('exam_results.user_id') }}
