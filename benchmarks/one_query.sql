-- The six KPIs of one student and day, by index: what a job that goes through students sends.
with attempts as materialized (
    select item_id, attempt_date, is_correct, response_time_ms, hint_count
    from analytics.fct_attempts
    where student_id = %(student)s and attempt_date between %(day)s - 55 and %(day)s
),
sessions as materialized (
    select session_date, started_at, duration_seconds
    from analytics.fct_sessions
    where student_id = %(student)s and session_date between %(day)s - 55 and %(day)s
),
counted as (
    select
        count(is_correct) filter (where attempt_date > %(day)s - 14)::float8 as n,
        avg(is_correct::int) filter (where attempt_date > %(day)s - 14)::float8 as p_recent,
        avg(is_correct::int) filter (
            where attempt_date between %(day)s - 27 and %(day)s - 14
        )::float8 as p_previous,
        avg(hint_count) filter (where attempt_date > %(day)s - 28)::float8 as hints,
        percentile_cont(0.5) within group (order by response_time_ms) filter (
            where is_correct and attempt_date > %(day)s - 28
        ) as m_recent,
        percentile_cont(0.5) within group (order by response_time_ms) filter (
            where is_correct and attempt_date <= %(day)s - 28
        ) as m_previous
    from attempts
),
recovered as (
    select avg(is_correct::int)::float8 as recovery_rate
    from attempts
    where attempt_date > %(day)s - 28 and is_correct is not null and item_id in (
        select item_id from attempts where not is_correct and attempt_date <= %(day)s - 28
    )
),
visits as (
    select
        count(*) filter (where session_date > %(day)s - 28) as recent,
        extract(epoch from max(started_at) filter (where session_date > %(day)s - 28)
            - min(started_at) filter (where session_date > %(day)s - 28))::float8
        / 86400 / nullif(count(*) filter (where session_date > %(day)s - 28) - 1, 0) as gap,
        avg(duration_seconds) filter (where session_date > %(day)s - 28) as seconds,
        count(*) as churn_count,
        extract(epoch from max(started_at) - min(started_at))::float8
        / 86400 / nullif(count(*) - 1, 0) as churn_gap,
        %(day)s - greatest(max(session_date), (select max(attempt_date) from attempts))
            as days_away
    from sessions
),
estimates as materialized (
    select theta, se, (effective_at at time zone 'Asia/Seoul')::date as effective_date
    from irt.effective_ability
    where user_id = %(student)s and run_id = 'bench'
        and effective_at < (%(day)s + 1)::timestamp at time zone 'Asia/Seoul'
        and effective_at >= (%(day)s - 89)::timestamp at time zone 'Asia/Seoul'
    order by effective_at desc, id desc
),
goal as (
    select topic_id, target_theta
    from analytics.int_goals__open
    where student_id = %(student)s and is_primary
        and valid_from <= %(day)s and valid_to > %(day)s
),
goal_estimate as (
    select theta, standard_error
    from analytics.int_goals__topic_abilities
    where student_id = %(student)s and topic_id = (select topic_id from goal)
        and valid_from <= %(day)s and valid_to > %(day)s
),
latest as (select theta, se, effective_date from estimates limit 1),
previous as (
    select theta from estimates
    where effective_date between %(day)s - 27 and %(day)s - 14 limit 1
)
select
    case
        when latest.effective_date > %(day)s - 14 and previous.theta is not null and n >= 5
            then greatest(-1, least(1, (latest.theta - previous.theta) * least(1, n / 30)
                * (1 - least(0.5, 1.96 * latest.se))))
        else (p_recent - p_previous) * least(1, n / 30)
            * (1 - least(0.5, 1.96 * sqrt(p_recent * (1 - p_recent) / n)))
    end as improvement_index,
    case when m_recent is not null and m_previous is not null
        then greatest(0, least(1, (m_previous - m_recent) / nullif(m_previous, 0))) end
        as time_efficiency,
    recovery_rate,
    case when recent = 0 then 0 else
        0.35 * least(1, recent / 28.0)
        + 0.25 * case when gap = 0 then 1 when gap is null then 0.5 else least(1, 1 / gap) end
        + 0.20 * coalesce(case when hints is not null then greatest(0, 1 - hints / 3) end, 0.5)
        + 0.20 * coalesce(case when seconds is not null then least(1, seconds / 900) end, 0.5)
    end as engagement,
    0.5 * erfc(-(coalesce(goal_estimate.theta, latest.theta) - coalesce(target_theta, 0))
        / coalesce(goal_estimate.standard_error, latest.se) / sqrt(2::float8))
        as goal_probability,
    case when churn_count = 0 then 1 else
        0.60 * least(1, days_away / 14.0)
        + 0.25 * coalesce(case when churn_gap is not null then least(1, churn_gap / 7) end, 0.5)
        + 0.15 * greatest(0, 1 - churn_count / 10.0)
    end as churn_risk
from counted
cross join recovered
cross join visits
left join latest on true
left join previous on true
left join goal on true
left join goal_estimate on true
