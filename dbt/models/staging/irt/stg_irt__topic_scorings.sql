-- Without CTEs, and with the columns of one index only, which then counts them alone.

select
    topic_abilities.ability_id,
    topic_abilities.topic_id
from {{ source('irt', 'mirt_topic_ability') }} as topic_abilities
