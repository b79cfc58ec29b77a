-- What arrives by the night :night (0: the history), in the order in which it happened.
insert into exam.session (
    id, user_id, exam_id, classroom_id, org_id, started_at, ended_at, status
)
select
    session_id,
    student_id,
    'exam_' || topic_offset,
    'c_' || student_number / 30,
    'org_' || student_number / 30 % 10,
    started_at,
    started_at + interval '20 minutes',
    'finished'
from bench.sessions
where night = :night
order by n;

insert into exam.exam_results (
    session_id, user_id, exam_id, org_id, status, result_json, score_raw, created_at, updated_at
)
select
    sessions.session_id,
    sessions.student_id,
    'exam_' || sessions.topic_offset,
    'org_' || sessions.student_number / 30 % 10,
    'ready',
    document.result_json,
    document.score_raw,
    sessions.started_at + interval '21 minutes',
    sessions.started_at + interval '21 minutes'
from bench.sessions as sessions
cross join lateral (
    select
        count(*) filter (where answers.is_correct) as score_raw,
        cast(
            '{"questions": [' || string_agg(
                '{"question_id": "' || answers.item_id
                || '", "is_correct": ' || answers.is_correct::text
                -- One in ten exams leaves the topic to the question bank.
                || case
                    when sessions.n % 10 > 0 then ', "topic": "' || answers.topic_id || '"'
                    else ''
                end
                || ', "time_spent_sec": ' || answers.seconds
                || ', "used_hints": ' || answers.hints
                || ', "answered_at": "' || to_char(
                    sessions.started_at + answers.place * interval '55 seconds',
                    'YYYY-MM-DD"T"HH24:MI:SS"Z"'
                )
                || '", "user_answer": ' || case
                    when answers.luck > 0.97 and not answers.is_correct then 'null'
                    when answers.is_correct then '"B"'
                    else (array['"A"', '"C"', '"D"'])[1 + answers.place % 3]
                end
                || ', "correct_answer": "B"}',
                ', ' order by answers.place
            ) || ']}' as jsonb
        ) as result_json
    from (
        select
            numbers.place,
            items.item_id,
            items.topic_id,
            draws.luck,
            draws.luck < 1 / (
                1 + exp(-items.discrimination * (sessions.theta - items.difficulty))
            ) as is_correct,
            round((35 * exp(random_normal(0, 0.5)))::numeric, 1) as seconds,
            floor(3 * random() ^ 3)::int as hints
        from generate_series(0, 19) as numbers (place)
        cross join lateral (
            select
                random() + 0 * numbers.place as luck,
                (
                    sessions.first_topic
                    + (sessions.topic_offset + 7 * (numbers.place / 5)) % 24
                ) % 200 as topic_number
            offset 0
        ) as draws
        inner join bench.items as items
            on
                items.n = 10 * draws.topic_number
                + (sessions.n + 3 * (numbers.place % 5) + numbers.place / 5) % 10
    ) as answers
) as document
where sessions.night = :night
order by sessions.n;

create temporary table changed_sessions as
select n, student_number, day from bench.sessions where night = :night;
