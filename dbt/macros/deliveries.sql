{% macro deliveries(results, sessions) %}
    {#-
        Select of what was delivered of each session, by way of a result, of the session
        itself, or both; its version differs when anything of it was delivered anew.
    -#}
    select
        coalesce(results.session_id, sessions.session_id) as input_key,
        cast(
            {{ row_hash([
                'results.result_version',
                'results.updated_at',
                'sessions.student_id',
                'sessions.org_id',
                'sessions.exam_id',
                'sessions.classroom_id',
                'sessions.started_at',
                'sessions.ended_at',
            ]) }} as text
        ) as version,
        coalesce(results.student_id, sessions.student_id) as student_id,
        cast(null as date) as from_date
    from {{ results }} as results
    full join {{ sessions }} as sessions
        on results.session_id = sessions.session_id
{% endmacro %}
