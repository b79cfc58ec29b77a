{% macro setting_rules() %}
    {#- Every variable, what it must be, and its bounds (inclusive). -#}
    {{- return({
        'as_of_date': {'kind': 'date', 'optional': true},
        'kpi_history_start': {'kind': 'date', 'optional': true},
        'backfill': {'kind': 'boolean'},
        'backfill_from': {'kind': 'date', 'optional': true},
        'backfill_to': {'kind': 'date', 'optional': true},
        'reporting_timezone': {'kind': 'timezone'},
        'test_scope': {'kind': 'choice', 'choices': ['all', 'replaced'], 'optional': true},
        'short_window_days': {'kind': 'integer', 'lowest': 1, 'highest': 365},
        'long_window_days': {'kind': 'integer', 'lowest': 1, 'highest': 365},
        'churn_window_days': {'kind': 'integer', 'lowest': 1, 'highest': 730},
        'population_window_days': {'kind': 'integer', 'lowest': 1, 'highest': 3650},
        'ability_lookback_days': {'kind': 'integer', 'lowest': 1, 'highest': 3650},
        'response_time_max_seconds': {'kind': 'integer', 'lowest': 1, 'highest': 604800},
        'hint_count_max': {'kind': 'integer', 'lowest': 0, 'highest': 1000000},
        'answered_at_tolerance_days': {'kind': 'integer', 'lowest': 0, 'highest': 365},
        'earliest_event_date': {'kind': 'date'},
        'improvement_full_weight_attempts': {'kind': 'integer', 'lowest': 1, 'highest': 10000},
        'improvement_theta_min_graded_attempts': {
            'kind': 'integer', 'lowest': 1, 'highest': 10000
        },
        'improvement_uncertainty_cap': {'kind': 'number', 'lowest': 0, 'highest': 1},
        'engagement_weight_sessions': {'kind': 'number', 'lowest': 0, 'highest': 1},
        'engagement_weight_gap': {'kind': 'number', 'lowest': 0, 'highest': 1},
        'engagement_weight_hints': {'kind': 'number', 'lowest': 0, 'highest': 1},
        'engagement_weight_duration': {'kind': 'number', 'lowest': 0, 'highest': 1},
        'engagement_full_sessions': {'kind': 'number', 'lowest': 1, 'highest': 10000},
        'engagement_full_hints': {'kind': 'number', 'lowest': 0.001, 'highest': 10000},
        'engagement_full_session_seconds': {
            'kind': 'number', 'lowest': 1, 'highest': 604800
        },
        'default_goal_theta': {'kind': 'number', 'lowest': -10, 'highest': 10},
        'churn_weight_recency': {'kind': 'number', 'lowest': 0, 'highest': 1},
        'churn_weight_gap': {'kind': 'number', 'lowest': 0, 'highest': 1},
        'churn_weight_sessions': {'kind': 'number', 'lowest': 0, 'highest': 1},
        'churn_full_recency_days': {'kind': 'number', 'lowest': 1, 'highest': 3650},
        'churn_full_gap_days': {'kind': 'number', 'lowest': 0.001, 'highest': 3650},
        'churn_full_sessions': {'kind': 'number', 'lowest': 1, 'highest': 10000},
        'inactivity_threshold_days': {'kind': 'integer', 'lowest': 1, 'highest': 3650},
        'dormant_threshold_days': {'kind': 'integer', 'lowest': 1, 'highest': 3650},
        'notification_cooldown_days': {'kind': 'integer', 'lowest': 0, 'highest': 3650},
        'topic_min_responses': {'kind': 'integer', 'lowest': 1, 'highest': 10000},
        'point_biserial_min_other_questions': {
            'kind': 'integer', 'lowest': 1, 'highest': 1000
        },
        'item_answer_count_max': {'kind': 'integer', 'lowest': 1, 'highest': 1000},
        'backtest_active_days': {'kind': 'integer', 'lowest': 1, 'highest': 365},
        'backtest_churn_outcome_days': {'kind': 'integer', 'lowest': 1, 'highest': 365},
        'backtest_goal_outcome_days': {'kind': 'integer', 'lowest': 1, 'highest': 365},
        'backtest_goal_min_responses': {'kind': 'integer', 'lowest': 1, 'highest': 1000},
    }) -}}
{% endmacro %}

{% macro setting_problem(name, value, rule) %}
    {#- What is allowed, when the value is not; none when it is. Time zones: see below. -#}
    {%- if value is none -%}
        {{- return(none if rule.get('optional') else 'a value, not null') -}}
    {%- elif rule.kind == 'date' -%}
        {{- return(
            none if is_calendar_date(value | string)
            else 'a calendar date from 1970-01-01 on, written YYYY-MM-DD'
        ) -}}
    {%- elif rule.kind == 'boolean' -%}
        {{- return(none if value is boolean else 'true or false') -}}
    {%- elif rule.kind == 'timezone' -%}
        {{- return(
            none if value is string and modules.re.match('^[A-Za-z0-9_+/-]{1,64}$', value)
            else 'the name of a time zone that PostgreSQL knows, such as Asia/Seoul'
        ) -}}
    {%- elif rule.kind == 'choice' -%}
        {{- return(none if value in rule.choices else rule.choices | join(' or ')) -}}
    {%- elif rule.kind == 'integer' -%}
        {%- set is_allowed = value is integer and rule.lowest <= value <= rule.highest -%}
        {{- return(
            none if is_allowed
            else 'a whole number from ' ~ rule.lowest ~ ' to ' ~ rule.highest
        ) -}}
    {%- else -%}
        {%- set is_allowed = (
            value is number and value is not boolean and rule.lowest <= value <= rule.highest
        ) -%}
        {{- return(
            none if is_allowed else 'a number from ' ~ rule.lowest ~ ' to ' ~ rule.highest
        ) -}}
    {%- endif -%}
{% endmacro %}

{% macro is_calendar_date(text) %}
    {%- if not modules.re.match('^[0-9]{4}-[0-9]{2}-[0-9]{2}$', text) -%}
        {{- return(false) -}}
    {%- endif -%}
    {%- set year = text[0:4] | int -%}
    {%- set month = text[5:7] | int -%}
    {%- set day = text[8:10] | int -%}
    {%- set is_leap_year = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0 -%}
    {%- set month_days = [
        31, 29 if is_leap_year else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    ] -%}
    {{- return(
        year >= 1970 and 1 <= month <= 12 and 1 <= day and day <= month_days[month - 1]
    ) -}}
{% endmacro %}

{% macro raise_bad_setting(name, value, allowed) %}
    {%- do exceptions.raise_compiler_error(
        'The variable ' ~ name ~ ' is ' ~ (value | tojson if value is not none else 'null')
        ~ '; allowed is ' ~ allowed ~ '. Nothing was built.'
    ) -%}
{% endmacro %}
