-- Without CTEs, so that who looks up the topics of one scoring reaches their index.

select
    -- ids
    topic_abilities.id as topic_ability_id,
    topic_abilities.ability_id,
    topic_abilities.user_id as student_id,
    topic_abilities.topic_id,
    topic_abilities.run_id,

    -- numerics
    topic_abilities.theta,
    topic_abilities.se as standard_error,
    topic_abilities.n_responses as response_count,

    -- timestamps
    topic_abilities.effective_at,
    {{ local_date('topic_abilities.effective_at') }} as effective_date
from {{ source('irt', 'mirt_topic_ability') }} as topic_abilities
