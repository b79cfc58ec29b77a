-- Proves the macros in which engines differ on literal values. It matters when a macro
-- or the engine changes; to resolve, compare the two values of the row that is returned.
-- An error, because every mart rests on them.

with

cases as (

    select
        'add_days' as macro,
        cast({{ add_days("date '2026-02-28'", 1) }} as text) as actual,
        '2026-03-01' as expected
    union all
    select
        'days_between',
        cast({{ days_between("date '2026-02-28'", "date '2026-03-02'") }} as text),
        '2'
    union all
    select
        'week_start of a Monday',
        cast({{ week_start("date '2026-05-04'") }} as text),
        '2026-05-04'
    union all
    select
        'week_start of a Sunday',
        cast({{ week_start("date '2026-05-10'") }} as text),
        '2026-05-04'
    union all
    select
        'seconds_between',
        cast(
            {{ seconds_between(
                "timestamptz '2026-05-04 00:00+09'",
                "timestamptz '2026-05-04 00:00:01.5+09'",
            ) }}
            as text
        ),
        '1.5'
    union all
    select
        'clamp below',
        cast({{ clamp('-0.5') }} as text),
        '0'
    union all
    select
        'clamp above',
        cast({{ clamp('2', -1, 1) }} as text),
        '1'
    union all
    select
        'clamp unknown',
        cast({{ clamp('cast(null as integer)') }} as text),
        null
    union all
    select
        'median of two',
        cast({{ median('v') }} as text),
        '1.5'
    from (values (1), (2)) as t (v)
    union all
    select
        'within_bounds at the bound',
        cast({{ within_bounds(3, 1, 3) }} as text),
        '3'
    union all
    select
        'within_bounds outside',
        cast({{ within_bounds(4, 1, 3) }} as text),
        null
    union all
    select
        'within_bounds, bound unknown',
        cast({{ within_bounds(4, 1, 'cast(null as integer)') }} as text),
        '4'
    union all
    select
        'json_number',
        cast({{ json_number("cast('1.50' as jsonb)") }} as text),
        '1.50'
    union all
    select
        'json_number of a text',
        cast({{ json_number("cast('\"1\"' as jsonb)") }} as text),
        null
    union all
    select
        'json_boolean',
        cast({{ json_boolean("cast('true' as jsonb)") }} as text),
        'true'
    union all
    select
        'json_boolean of a text',
        cast({{ json_boolean("cast('\"true\"' as jsonb)") }} as text),
        null
    union all
    select
        'row_hash tells a null from an empty text',
        cast(
            {{ row_hash(["cast(null as text)"]) }}
            = {{ row_hash(["cast('' as text)"]) }} as text
        ),
        'false'
    union all
    select
        'composite_key keeps values apart',
        cast(
            {{ composite_key(["'a,'", "'b'"]) }}
            = {{ composite_key(["'a'", "',b'"]) }} as text
        ),
        'false'
    union all
    select
        'composite_key of a null',
        {{ composite_key(["'a'", "cast(null as date)", "date '2026-02-28'"]) }},
        '["a", null, "2026-02-28"]'
    union all
    select
        'finite of a timestamp',
        cast({{ finite("timestamptz '2026-02-28T00:00:00Z'") }} is not null as text),
        'true'
    union all
    select
        'finite of infinity',
        cast({{ finite("timestamptz 'infinity'") }} is null as text),
        'true'
    union all
    select
        'json_array_holds',
        cast({{ json_array_holds("cast('[\"anchor\"]' as jsonb)", 'anchor') }} as text),
        'true'
    union all
    select
        'json_array_holds no part of a text',
        cast({{ json_array_holds("cast('[\"anchors\"]' as jsonb)", 'anchor') }} as text),
        'false'
    union all
    select
        'array_of some rows',
        (
            select cast({{ array_of('value', 'value > 1') }} as text)
            from (values (1), (2)) as numbers (value)
        ),
        '{2}'
    union all
    select
        'array_length',
        cast({{ array_length("cast('{5, 5}' as integer[])") }} as text),
        '2'
    union all
    select
        'middle_element of an even number',
        cast({{ middle_element("cast('{1, 2, 3, 4}' as integer[])") }} as text),
        '2'
    union all
    select
        'count_at_most counts ties',
        cast({{ count_at_most("cast('{1, 2, 2, 3}' as integer[])", 2) }} as text),
        '3'
    union all
    select
        'count_at_most of an unknown bound',
        cast(
            {{ count_at_most("cast('{1}' as integer[])", 'cast(null as integer)') }}
            as text
        ),
        null
    union all
    select
        'array_between leaves the lower bound out',
        cast({{ array_between("cast('{1, 1, 2, 3, 4}' as integer[])", 1, 3) }} as text),
        '{2,3}'
    union all
    select
        'array_between unknown bounds',
        cast(
            {{ array_between(
                "cast('{1, 2}' as integer[])",
                'cast(null as integer)',
                'cast(null as integer)',
            ) }}
            as text
        ),
        '{1,2}'
    union all
    select
        'quantile between two values is the lower one',
        (
            select cast({{ quantile('value', 0.5) }} as text)
            from (values (1), (2)) as numbers (value)
        ),
        '1'
    union all
    select
        'parameter_key of a publication and an item',
        cast({{ parameter_key('cast(3 as bigint)', '17') }} as text),
        '3000000017'
    union all
    select
        'json_object_agg of some rows',
        (
            select cast({{ json_object_agg('value', '1', "value <> 'b'") }} as text)
            from (values ('a'), ('b')) as letters (value)
        ),
        '{"a": 1}'
    union all
    select
        'bytewise puts capitals first',
        (
            select min({{ bytewise('value') }})
            from (values ('a'), ('B')) as letters (value)
        ),
        'B'

)

select * from cases
where actual is distinct from expected
