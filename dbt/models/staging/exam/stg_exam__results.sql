with

exam_results as (

    select
        *,
        xmin
    from {{ source('exam', 'exam_results') }}

),

erased_students as (

    select * from {{ optional_source('ops', 'erased_students') }}

),

renamed as (

    select

        ---------- ids
        exam_results.session_id,
        exam_results.user_id as student_id,
        cast(exam_results.exam_id as text) as exam_id,
        cast(exam_results.org_id as text) as org_id,

        ---------- text
        exam_results.status,
        exam_results.result_json,
        cast(exam_results.xmin as text) as result_version,

        ---------- numerics
        exam_results.score_raw,
        exam_results.score_scaled,
        exam_results.standard_error,
        exam_results.percentile,

        ---------- booleans
        exam_results.status = 'ready' as is_ready,

        ---------- timestamps
        exam_results.created_at,
        exam_results.updated_at

    from exam_results
    where
        not exists (
            select 1
            from erased_students
            where erased_students.student_id = exam_results.user_id
        )

)

select * from renamed
