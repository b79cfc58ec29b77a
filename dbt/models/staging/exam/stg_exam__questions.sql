-- Without CTEs, for the reason given in stg_exam__results.

select

    ---------- ids
    cast(questions.id as text) as item_id,
    nullif(btrim(cast(questions.topic_id as text)), '') as topic_id,

    ---------- text
    questions.content,
    questions.difficulty as difficulty_label,
    questions.meta,

    ---------- timestamps
    questions.created_at,
    questions.updated_at

from {{ optional_source('exam', 'question') }} as questions
