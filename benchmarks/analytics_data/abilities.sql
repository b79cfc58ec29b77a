-- The changed sessions are scored, and with them all later ones of their students for as long
-- as the changed answers count: what the online update leaves behind.
analyze changed_sessions;

create temporary table scored_sessions as
select
    sessions.n,
    sessions.session_id,
    sessions.student_number,
    sessions.student_id,
    sessions.theta,
    sessions.day,
    sessions.started_at + interval '18 minutes' as effective_at
from bench.sessions as sessions
inner join (
    select student_number, min(day) as day from changed_sessions group by student_number
) as changed
    on
        sessions.student_number = changed.student_number
        and sessions.day between changed.day and changed.day + 89
where sessions.night <= :night and (sessions.night = 0 or sessions.day < 180 + :night)
order by sessions.n;
analyze scored_sessions;

with abilities as (
    insert into irt.mirt_ability (
        user_id, theta, se, model, run_id, session_id, effective_at, n_responses, fitted_at
    )
    select
        student_id,
        theta + random_normal(0, 0.25),
        0.2 + 0.2 * random(),
        '2PL',
        'bench',
        session_id,
        effective_at,
        60,
        :start::timestamptz + (180 + :night) * interval '1 day'
    from scored_sessions
    order by n
    returning id, user_id, theta, run_id, session_id, effective_at, fitted_at
)

insert into irt.mirt_topic_ability (
    ability_id, user_id, topic_id, theta, se, run_id, session_id, effective_at, n_responses,
    fitted_at
)
select
    abilities.id,
    abilities.user_id,
    't_' || lpad(topics.topic_number::text, 3, '0'),
    abilities.theta + random_normal(0, 0.3),
    0.35,
    'bench',
    abilities.session_id,
    abilities.effective_at,
    4 + topics.session_count,
    abilities.fitted_at
from scored_sessions as scored
inner join abilities on scored.session_id = abilities.session_id
cross join lateral (
    select
        (earlier.first_topic + (earlier.topic_offset + 7 * part) % 24) % 200 as topic_number,
        count(*) as session_count
    from bench.sessions as earlier
    cross join generate_series(0, 3) as part
    where
        earlier.student_number = scored.student_number
        and earlier.day between scored.day - 89 and scored.day
        and earlier.night <= :night
    group by 1
) as topics
order by abilities.id;

drop table scored_sessions, changed_sessions;
