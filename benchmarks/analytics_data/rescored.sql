-- 0.5 % of the last 60 days' sessions are delivered again with one grade turned round.
insert into changed_sessions
select sessions.n, sessions.student_number, sessions.day
from bench.sessions as sessions
where
    sessions.night = 0
    and sessions.day between 120 + :night and 179
    and mod(sessions.n * 7919, 600) / 3 = :night;

analyze changed_sessions;

update exam.exam_results as results
set
    result_json = jsonb_set(
        results.result_json,
        '{questions,3,is_correct}',
        to_jsonb(not (results.result_json #>> '{questions,3,is_correct}')::boolean)
    ),
    updated_at = :start::timestamptz + (180 + :night) * interval '1 day'
from changed_sessions
inner join bench.sessions as sessions on changed_sessions.n = sessions.n
where results.session_id = sessions.session_id and sessions.night = 0;
