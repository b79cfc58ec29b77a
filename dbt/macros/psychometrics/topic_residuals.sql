{# CTEs that end in `residuals` (topic_day_number, residual_attempt_count,
   observed_minus_expected, observed_minus_expected_se): of each built day of a topic, the
   responses of the `long` days up to it against what the ability of the day expects. They
   read the CTEs `topic_windows`, `built_days` and `parameters` of the model. #}
{% macro topic_residuals(long) -%}
-- A long window touches two buckets of its own length, and an equality on buckets
-- keeps the join linear in a student's history.
built_day_buckets as (
    select
        built_days.topic_day_number,
        built_days.student_id,
        built_days.topic_id,
        built_days.day_number,
        built_days.publication_id,
        built_days.overall_theta,
        built_days.day_number / {{ long }} - back.buckets as bucket
    from built_days
    cross join (values (0), (1)) as back (buckets)
    where built_days.overall_theta is not null
),

recent_responses as (
    select
        built_day_buckets.topic_day_number,
        built_day_buckets.publication_id,
        built_day_buckets.overall_theta,
        abs(elements.item_number) as item_number,
        elements.item_number > 0 as is_correct
    from built_day_buckets
    inner join topic_windows as recent_days
        on
            built_day_buckets.student_id = recent_days.student_id
            and built_day_buckets.topic_id = recent_days.topic_id
            and built_day_buckets.bucket = recent_days.day_number / {{ long }}
            and built_day_buckets.day_number >= recent_days.day_number
            and built_day_buckets.day_number < recent_days.day_number + {{ long }}
    cross join
        lateral {{ array_elements('recent_days.answered_items', 'elements', 'item_number') }}
),

expected_responses as (
    select
        recent_responses.topic_day_number,
        recent_responses.is_correct,
        {{ response_probability(
            'recent_responses.overall_theta',
            'parameters.discrimination',
            'parameters.difficulty',
            'parameters.guessing'
        ) }} as probability
    from recent_responses
    inner join parameters
        on
            {{ parameter_key(
                'recent_responses.publication_id', 'recent_responses.item_number'
            ) }} = parameters.parameter_key
    -- The probability is used thrice and computed once: the planner does not look
    -- through an offset.
    offset 0
),

residuals as (
    select
        expected_responses.topic_day_number,
        cast(count(*) as integer) as residual_attempt_count,
        cast(count(*) filter (where expected_responses.is_correct) as double precision)
        - sum(expected_responses.probability) as observed_minus_expected,
        sqrt(
            sum(expected_responses.probability * (1 - expected_responses.probability))
        ) as observed_minus_expected_se
    from expected_responses
    group by expected_responses.topic_day_number
)
{%- endmacro %}
