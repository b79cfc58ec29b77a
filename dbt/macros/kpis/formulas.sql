{# The formulas of the daily KPIs other than improvement. Arguments are SQL expressions. #}


{% macro time_efficiency(median_previous, median_recent) -%}
    {{ clamp(
        '((' ~ median_previous ~ ') - (' ~ median_recent ~ ')) / nullif('
        ~ median_previous ~ ', 0)'
    ) }}
{%- endmacro %}


{# What an unknown term counts in a weighted sum: neither good nor bad. #}
{% macro known_or_neutral(term) -%}
    coalesce({{ term }}, 0.5)
{%- endmacro %}


{% macro engagement(session_count, gap_days, mean_hint_count, mean_session_seconds) -%}
    case
        when {{ session_count }} = 0 then 0
        else
            {{ var('engagement_weight_sessions') }} * {{ clamp(
                'cast(' ~ session_count ~ ' as double precision) / '
                ~ var('engagement_full_sessions')
            ) }}
            + {{ var('engagement_weight_gap') }} * case
                when {{ gap_days }} = 0 then 1
                else {{ known_or_neutral(clamp('1 / nullif(' ~ gap_days ~ ', 0)')) }}
            end
            + {{ var('engagement_weight_hints') }} * {{ known_or_neutral(clamp(
                '1 - ' ~ mean_hint_count ~ ' / ' ~ var('engagement_full_hints')
            )) }}
            + {{ var('engagement_weight_duration') }} * {{ known_or_neutral(clamp(
                mean_session_seconds ~ ' / ' ~ var('engagement_full_session_seconds')
            )) }}
    end
{%- endmacro %}


{% macro churn_risk(days_since_last_activity, gap_days, session_count) -%}
    case
        when {{ days_since_last_activity }} >= {{ var('churn_window_days') }} then 1
        else
            {{ var('churn_weight_recency') }} * {{ clamp(
                'cast(' ~ days_since_last_activity ~ ' as double precision) / '
                ~ var('churn_full_recency_days')
            ) }}
            + {{ var('churn_weight_gap') }} * {{ known_or_neutral(clamp(
                gap_days ~ ' / ' ~ var('churn_full_gap_days')
            )) }}
            + {{ var('churn_weight_sessions') }} * {{ clamp(
                '1 - cast(' ~ session_count ~ ' as double precision) / '
                ~ var('churn_full_sessions')
            ) }}
    end
{%- endmacro %}


{% macro goal_probability(theta, standard_error, target_theta) -%}
    {{ normal_cdf(
        '((' ~ theta ~ ') - (' ~ target_theta ~ ')) / nullif(' ~ standard_error ~ ', 0)'
    ) }}
{%- endmacro %}
