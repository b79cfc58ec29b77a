{{ config(materialized='view') }}

with topic_daily_features as (
    select * from {{ ref('fct_topic_daily_features') }}
)

select
    topic_daily_features.student_id as user_id,
    topic_daily_features.topic_id,
    topic_daily_features.feature_date as date,
    topic_daily_features.attempt_count as attempts,
    topic_daily_features.correct_count as correct,
    topic_daily_features.average_time_ms as avg_time_ms,
    topic_daily_features.hint_count as hints,
    topic_daily_features.theta_estimate,
    topic_daily_features.theta_sd,
    topic_daily_features.median_time_ms as rt_median,
    topic_daily_features.improvement,
    topic_daily_features.last_seen_at,
    topic_daily_features.built_at as computed_at
from topic_daily_features
