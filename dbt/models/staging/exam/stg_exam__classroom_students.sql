with

memberships as (

    select * from {{ optional_source('exam', 'classroom_student') }}

),

renamed as (

    select

        ---------- ids
        cast(memberships.classroom_id as text) as classroom_id,
        memberships.user_id as student_id,

        ---------- timestamps
        memberships.from_date,
        memberships.to_date

    from memberships
    where {{ is_not_erased('memberships.user_id') }}

)

select * from renamed
