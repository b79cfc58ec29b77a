with

profiles as (

    select * from {{ optional_source('exam', 'student_profile') }}

),

renamed as (

    select

        ---------- ids
        profiles.user_id as student_id,

        ---------- text
        profiles.display_name,
        profiles.locale,
        profiles.grade,
        profiles.group_labels,
        profiles.report_formats

    from profiles
    where
        profiles.user_id <> ''
        and {{ is_not_erased('profiles.user_id') }}

)

select * from renamed
