-- The same figures as ten queries, each one reading for itself.
select count(is_correct), avg(is_correct::int) from analytics.fct_attempts
where student_id = %(student)s and attempt_date between %(day)s - 13 and %(day)s;
select count(is_correct), avg(is_correct::int) from analytics.fct_attempts
where student_id = %(student)s and attempt_date between %(day)s - 27 and %(day)s - 14;
select percentile_cont(0.5) within group (order by response_time_ms) from analytics.fct_attempts
where student_id = %(student)s and attempt_date between %(day)s - 27 and %(day)s and is_correct;
select percentile_cont(0.5) within group (order by response_time_ms) from analytics.fct_attempts
where student_id = %(student)s and attempt_date between %(day)s - 55 and %(day)s - 28
    and is_correct;
select avg(is_correct::int) from analytics.fct_attempts
where student_id = %(student)s and attempt_date between %(day)s - 27 and %(day)s
    and item_id in (
        select item_id from analytics.fct_attempts
        where student_id = %(student)s and attempt_date between %(day)s - 55 and %(day)s - 28
            and not is_correct
    );
select avg(hint_count), sum(response_time_ms) from analytics.fct_attempts
where student_id = %(student)s and attempt_date between %(day)s - 27 and %(day)s;
select count(*), min(started_at), max(started_at), avg(duration_seconds)
from analytics.fct_sessions
where student_id = %(student)s and session_date between %(day)s - 27 and %(day)s;
select count(*), min(started_at), max(started_at), max(session_date)
from analytics.fct_sessions
where student_id = %(student)s and session_date between %(day)s - 55 and %(day)s;
select theta, se, effective_at from irt.effective_ability
where user_id = %(student)s and run_id = 'bench' and effective_at < %(day)s + 1
order by effective_at desc, id desc;
select topic_id, target_theta from analytics.int_goals__open
where student_id = %(student)s and is_primary
    and valid_from <= %(day)s and valid_to > %(day)s
