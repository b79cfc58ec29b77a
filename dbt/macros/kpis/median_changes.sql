{# CTEs from timed_attempts to median_changes of a model of running sums: how the
   median response times of the last window of days and of the one before it change,
   by student and day. Reads the model's CTEs attempts, attempt_days and, in an
   incremental build, affected. #}
{% macro median_changes(window, is_in_reach) -%}
-- The median of the previous window is that of the recent window, one window ago. It
-- can change only on the days on which a timed correct attempt enters or leaves.
timed_attempts as (
    select
        attempts.student_id,
        attempts.attempt_date,
        attempts.response_time_ms,
        (attempts.attempt_date - date '2000-01-01') / {{ window }} as bucket
    from attempts
    where
        attempts.is_correct
        and {{ is_in_reach }}
        and attempts.response_time_ms is not null
),

timed_days as (
    select
        attempt_days.student_id,
        attempt_days.attempt_date + effect.after_days as median_date
    from attempt_days
    cross join (values (0), ({{ window }})) as effect (after_days)
    where attempt_days.timed_correct_count > 0
),

median_days as (
    select
        timed_days.student_id,
        timed_days.median_date
    from timed_days
    {% if is_incremental() %}
    inner join affected
        on
            timed_days.student_id = affected.student_id
            and timed_days.median_date > affected.from_date - {{ window }}
    {% endif %}
    group by timed_days.student_id, timed_days.median_date
    {% if is_incremental() %}
    -- What the first of these days has to differ from.
    union all
    select
        affected.student_id,
        affected.from_date - {{ window }} as median_date
    from affected
    {% endif %}
),

-- A window touches at most two buckets of its own length, and an equality on buckets
-- keeps the join linear in a student's history.
median_day_buckets as (
    select
        median_days.student_id,
        median_days.median_date,
        (median_days.median_date - date '2000-01-01') / {{ window }} - back.buckets
            as bucket
    from median_days
    cross join (values (0), (1)) as back (buckets)
),

medians as (
    select
        median_day_buckets.student_id,
        median_day_buckets.median_date,
        cast(count(timed_attempts.response_time_ms) as integer) as timed_count,
        -- Twice the median of whole milliseconds is a whole number.
        coalesce({{ median('timed_attempts.response_time_ms') }} * 2, 0)
            as median_half_ms
    from median_day_buckets
    left join timed_attempts
        on
            median_day_buckets.student_id = timed_attempts.student_id
            and median_day_buckets.bucket = timed_attempts.bucket
            and median_day_buckets.median_date >= timed_attempts.attempt_date
            and median_day_buckets.median_date
            < timed_attempts.attempt_date + {{ window }}
    group by median_day_buckets.student_id, median_day_buckets.median_date
),

median_steps as (
    select
        medians.student_id,
        medians.median_date,
        medians.timed_count - lag(medians.timed_count, 1, 0) over by_day as timed_count,
        medians.median_half_ms
        - lag(medians.median_half_ms, 1, cast(0 as double precision)) over by_day
            as median_half_ms
    from medians
    window by_day as (partition by medians.student_id order by medians.median_date)
),

median_changes as (
    select
        median_steps.student_id,
        median_steps.median_date + effect.after_days as changed_on,
        effect.in_recent * median_steps.timed_count as timed_correct_recent_count,
        effect.in_previous * median_steps.timed_count as timed_correct_previous_count,
        effect.in_recent * median_steps.median_half_ms as median_time_recent_half_ms,
        effect.in_previous * median_steps.median_half_ms
            as median_time_previous_half_ms
    from median_steps
    cross join (
        values (0, 1, 0), ({{ window }}, 0, 1)
    ) as effect (after_days, in_recent, in_previous)
)
{%- endmacro %}
