with

results as (

    select
        session_id,
        student_id,
        result_version,
        updated_at
    from {{ ref('stg_exam__results') }}

),

sessions as (

    select * from {{ ref('stg_exam__sessions') }}

),

inputs as (

    select
        coalesce(results.session_id, sessions.session_id) as input_key,
        cast(
            {{ row_hash([
                'results.result_version',
                'results.updated_at',
                'sessions.student_id',
                'sessions.org_id',
                'sessions.exam_id',
                'sessions.classroom_id',
                'sessions.started_at',
                'sessions.ended_at',
            ]) }} as text
        ) as version,
        coalesce(results.student_id, sessions.student_id) as student_id,
        cast(null as date) as from_date
    from results
    full join sessions
        on results.session_id = sessions.session_id

)

select * from inputs
