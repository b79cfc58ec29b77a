{# What changed sessions add to item days and take away from them: contributions with the
   sign of `change`, and only those that are not taken away and added again. Days that are
   to be built anew are here with their item days, and once without an item. #}
{% macro affected_by_item_days(is_full) %}
{%- if is_full %}
    select
        cast(null as text) as item_id,
        cast(null as date) as attempt_date
    where false
{%- else %}
{%- set superseded = superseded_relation('fct_attempts') %}
{%- set columns -%}
    session_id, item_id, attempt_date, is_first_graded, is_correct, response_time_ms,
    user_answer
{%- endset %}
    with versions as materialized (
        select
            input_key as session_id,
            version,
            is_current
        from {{ changes() }}
        where input = 'int_inputs__attempts'
    ),

    -- Sessions that were added up, and of which nobody knows any more how: they were
    -- erased, or all attempts were built anew. Then all days are.
    lost as (
        select 1
        from versions
        where
            not versions.is_current
            and not exists (
                select 1
                from {{ superseded }} as superseded
                where
                    superseded.session_id = versions.session_id
                    and cast(superseded.revision as text) = versions.version
            )
    ),

    rebuilt_days as materialized (
        select from_date as attempt_date
        from {{ changes() }}
        where input = 'backfill'
        union
        select attempt_date
        from {{ this }}
        where exists (select 1 from lost)
        union
        select attempt_date
        from {{ ref('fct_attempts') }}
        where exists (select 1 from lost)
    ),

    moved as materialized (
        select
            superseded.{{ columns | replace(', ', ', superseded.') }},
            -1 as change
        from versions
        inner join {{ superseded }} as superseded
            on
                versions.session_id = superseded.session_id
                and versions.version = cast(superseded.revision as text)
        where not versions.is_current
        union all
        select
            fct_attempts.{{ columns | replace(', ', ', fct_attempts.') }},
            1 as change
        from versions
        inner join {{ ref('fct_attempts') }} as fct_attempts
            on versions.session_id = fct_attempts.session_id
        where versions.is_current
    ),

    shares as (
        {{ shares_of_others('moved', ['session_id', 'change']) }}
    ),

    contributions as (
        select
            {{ item_day_contribution('moved', 'shares') }},
            moved.change
        from moved
        inner join shares
            on
                moved.session_id = shares.session_id
                and moved.change = shares.change
        where moved.attempt_date not in (select attempt_date from rebuilt_days)
    )

    select
        contributions.*,
        false as is_rebuilt
    from (
        select
            item_id,
            attempt_date,
            is_first_graded,
            is_right,
            response_time_ms,
            first_answer,
            share_of_others,
            cast(sum(change) as integer) as change
        from contributions
        group by
            item_id, attempt_date, is_first_graded, is_right, response_time_ms,
            first_answer, share_of_others
        having sum(change) <> 0
    ) as contributions
    union all
    select
        days.item_id,
        days.attempt_date,
        cast(null as boolean) as is_first_graded,
        cast(null as boolean) as is_right,
        cast(null as integer) as response_time_ms,
        cast(null as text) as first_answer,
        cast(null as numeric) as share_of_others,
        0 as change,
        true as is_rebuilt
    from (
        select
            existing.item_id,
            existing.attempt_date
        from {{ this }} as existing
        inner join rebuilt_days on existing.attempt_date = rebuilt_days.attempt_date
        union all
        select
            null as item_id,
            rebuilt_days.attempt_date
        from rebuilt_days
    ) as days
{%- endif %}
{% endmacro %}


{# The relation of these changes. #}
{% macro item_day_changes() %}
    {{- return(affected()) -}}
{% endmacro %}


{# Columns of what one attempt adds to its item and day. `attempts` and `shares` (of
   shares_of_others) are joined. A long free text counts under its beginning. #}
{% macro item_day_contribution(attempts, shares) -%}
    {{ attempts }}.item_id,
    {{ attempts }}.attempt_date,
    {{ attempts }}.is_first_graded,
    {{ attempts }}.is_first_graded and {{ attempts }}.is_correct as is_right,
    {{ attempts }}.response_time_ms,
    case
        when {{ attempts }}.is_first_graded
            then nullif(left({{ attempts }}.user_answer, 100), '')
    end as first_answer,
    case
        when {{ attempts }}.is_first_graded and {{ attempts }}.is_correct
            then {{ shares }}.share_beside_right
        when {{ attempts }}.is_first_graded then {{ shares }}.share_beside_wrong
    end as share_of_others
{%- endmacro %}


{# For each session the share right among the other graded questions, beside one that is
   right and beside one that is wrong; null when there are too few. Decimals: their sums
   are the same in every order, and a correlation of equal shares is no rounding error. #}
{% macro shares_of_others(attempts, keys) -%}
    {%- set keys = keys | join(', ') -%}
    select
        {{ keys }},
        {{ share_of_others('counts.correct_count - 1') }} as share_beside_right,
        {{ share_of_others('counts.correct_count') }} as share_beside_wrong
    from (
        select
            {{ keys }},
            count(is_correct) - 1 as other_count,
            count(*) filter (where is_correct) as correct_count
        from {{ attempts }}
        group by {{ keys }}
    ) as counts
{%- endmacro %}


{% macro share_of_others(other_correct_count) -%}
    case
        when counts.other_count >= {{ var('point_biserial_min_other_questions') }}
            then
                cast(
                    cast({{ other_correct_count }} as numeric) / counts.other_count
                    as numeric(16, 15)
                )
    end
{%- endmacro %}


{# A sum of an item day: of its attempts, or of what changes and what was there. #}
{% macro sum_after_changes(column, data_type) -%}
    cast(
        coalesce(sums.{{ column }}, 0)
        {%- if is_incremental() %} + coalesce(existing.{{ column }}, 0){% endif %}
        as {{ data_type }}
    )
{%- endmacro %}
