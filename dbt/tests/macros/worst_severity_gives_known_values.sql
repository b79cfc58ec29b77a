-- Proves that the worst grade wins, whatever the order, and that no grade is not 'none'.
-- It matters whenever worst_severity() or the grades change.
-- To resolve: correct the macro.
with grades as (
    select
        'severe over minor' as behaviour,
        'severe' as expected,
        'minor' as severity
    union all
    select 'severe over minor', 'severe', 'severe'
    union all
    select 'moderate over none', 'moderate', 'moderate'
    union all
    select 'moderate over none', 'moderate', 'none'
    union all
    select 'minor over unknown', 'minor', null
    union all
    select 'minor over unknown', 'minor', 'minor'
    union all
    select 'none over unknown', 'none', null
    union all
    select 'none over unknown', 'none', 'none'
    union all
    select 'unknown alone', null, null
),

found as (
    select
        grades.behaviour,
        grades.expected,
        {{ worst_severity('grades.severity') }} as actual
    from grades
    group by grades.behaviour, grades.expected
)

select found.*
from found
where found.expected is distinct from found.actual
