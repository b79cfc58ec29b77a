"""Everything that can arrive at the warehouse, by name."""

from __future__ import annotations

from collections.abc import Callable

from tests.dbt import arriving_abilities, arriving_people, arriving_results
from tests.dbt.arrivals import Arrivals

KINDS: dict[str, Callable[[Arrivals], str]] = {
    kind.__name__: kind
    for kind in (
        arriving_results.late_session,
        arriving_results.delivered_again,
        arriving_results.replaced_row,
        arriving_results.rescored,
        arriving_results.moved,
        arriving_results.status_changed,
        arriving_results.deleted,
        arriving_results.malformed,
        arriving_results.loaded_with_an_old_date,
        arriving_results.committed_late,
        arriving_results.session_row,
        arriving_people.goal,
        arriving_people.question,
        arriving_abilities.ability,
        arriving_abilities.retraction,
        arriving_abilities.publication,
        arriving_abilities.roll_back,
        arriving_people.erasure,
        arriving_people.membership,
    )
}

# What leaves little to compare when it happens often.
RARE = {"erasure", "roll_back"}
