with

classrooms as (

    select * from {{ optional_source('exam', 'classroom') }}

),

renamed as (

    select

        ---------- ids
        cast(classrooms.id as text) as classroom_id,
        cast(classrooms.org_id as text) as org_id,

        ---------- text
        classrooms.name as classroom_name,
        classrooms.grade

    from classrooms

)

select * from renamed
