"""What to practise next: items that the student would answer correctly about 7 times in 10.

A success rate of about 70 % is hard enough to learn from and easy enough to keep going.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from report_runner.records import ItemBank, Row

TARGET_PROBABILITY = 0.70
PROBABILITY_TOLERANCE = 0.12
TOPICS_RECOMMENDED = 3
ITEMS_PER_TOPIC = 2
_MINIMUM_GRADED_COUNT = 3


@dataclass(frozen=True)
class PracticeItem:
    """One recommended item and the probability of answering it correctly."""

    item_id: str
    content: str | None
    probability: float


@dataclass(frozen=True)
class Practice:
    """The items recommended in one topic; `correct_rate` is the student's own, if known."""

    topic_id: str | None
    is_weak: bool
    correct_rate: float | None
    items: tuple[PracticeItem, ...]


def choose_practice(
    theta: float, topics: Sequence[Row], seen_items: frozenset[str], bank: ItemBank
) -> tuple[Practice, ...]:
    """Return up to three topics with up to two items each, weak topics first.

    Items are near 70 % success at the student's ability (the topic's where it is known) and
    were not attempted lately. P = c + (1 - c) / (1 + exp(-a (theta - b))).
    """
    if not bank.item_ids:
        return ()
    codes, item_codes = bank.topic_codes
    thetas = np.full(len(codes) + 1, theta)
    for row in topics:
        if row["theta_basis"] == "topic" and row["theta"] is not None and row["topic_id"] in codes:
            thetas[codes[row["topic_id"]]] = row["theta"]
    logits = bank.discrimination * (thetas[item_codes] - bank.difficulty)
    probability = bank.guessing + (1 - bank.guessing) * expit(logits)
    distance = np.abs(probability - TARGET_PROBABILITY)
    for item_id in seen_items:
        if (position := bank.positions.get(item_id)) is not None:
            distance[position] = np.inf
    candidates = np.flatnonzero(distance <= PROBABILITY_TOLERANCE)
    ranked = candidates[np.argsort(distance[candidates], kind="stable")]
    ranked_codes = item_codes[ranked]
    known = {row["topic_id"]: row for row in topics}
    names = (*codes, None)
    # The code -1, of items without a topic, finds the last name.
    order = sorted(
        ((names[code], code) for code in np.unique(ranked_codes).tolist()),
        key=lambda topic: _urgency(topic[0], known.get(topic[0])),
    )[:TOPICS_RECOMMENDED]
    return tuple(
        Practice(
            topic_id=topic_id,
            is_weak=known.get(topic_id, {}).get("strength") == "weak",
            correct_rate=_correct_rate(known.get(topic_id)),
            items=tuple(
                PracticeItem(
                    item_id=bank.item_ids[position],
                    content=bank.contents[position],
                    probability=float(probability[position]),
                )
                for position in ranked[ranked_codes == code][:ITEMS_PER_TOPIC].tolist()
            ),
        )
        for topic_id, code in order
    )


def _correct_rate(row: Row | None) -> float | None:
    if row is None or int(row["graded_count"]) < _MINIMUM_GRADED_COUNT:
        return None
    return int(row["correct_count"]) / int(row["graded_count"])


def _urgency(topic_id: str | None, row: Row | None) -> tuple[int, float, str]:
    """Weak topics first, then the lowest share correct, then topics not met lately."""
    if topic_id is None:
        return (3, 0.0, "")
    rate = _correct_rate(row)
    if row is not None and row["strength"] == "weak":
        return (0, rate or 0.0, topic_id)
    return (2, 0.0, topic_id) if rate is None else (1, rate, topic_id)
