"""What to practise next: items that the student would answer correctly about 7 times in 10.

A success rate of about 70 % is hard enough to learn from and easy enough to keep going.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from report_runner.records import NO_TOPIC, ItemBank, Row

TARGET_PROBABILITY = 0.70
PROBABILITY_TOLERANCE = 0.12
TOPICS_RECOMMENDED = 3
ITEMS_PER_TOPIC = 2
_MINIMUM_GRADED_COUNT = 3
_FARTHEST_LOGIT = 700.0
# Fewer questions than this are a coincidence, however they went.
MINIMUM_TELLING_COUNT = 5


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
    # Beyond this an exponential overflows, and the probability is 0 or 1 anyway.
    chances = 1 / (1 + np.exp(-np.clip(logits, -_FARTHEST_LOGIT, _FARTHEST_LOGIT)))
    probability = bank.guessing + (1 - bank.guessing) * chances
    distance = np.abs(probability - TARGET_PROBABILITY)
    for item_id in seen_items:
        if (position := bank.positions.get(item_id)) is not None:
            distance[position] = np.inf
    candidates = np.flatnonzero(distance <= PROBABILITY_TOLERANCE)
    ranked = candidates[np.argsort(distance[candidates], kind="stable")]
    ranked_codes = item_codes[ranked]
    known = {row["topic_id"]: row for row in topics}
    order = _most_urgent(codes, known, set(ranked_codes.tolist()))
    return tuple(
        Practice(
            topic_id=topic_id,
            is_weak=is_weak(known.get(topic_id)),
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


def is_weak(row: Row | None) -> bool:
    """Say whether a topic is a weak one, by enough questions to tell."""
    return (
        row is not None
        and row["strength"] == "weak"
        and int(row["graded_count"]) >= MINIMUM_TELLING_COUNT
    )


def _correct_rate(row: Row | None) -> float | None:
    if row is None or int(row["graded_count"]) < _MINIMUM_GRADED_COUNT:
        return None
    return int(row["correct_count"]) / int(row["graded_count"])


def _most_urgent(
    codes: Mapping[str, int], known: Mapping[str | None, Row], available: Set[int]
) -> list[tuple[str | None, int]]:
    """Return topics with their codes: weak ones, then the lowest share correct, then others.

    Others are those not met lately, in the order of their codes; last comes what has no topic.
    """
    urgent = []
    for topic_id, row in known.items():
        code = codes.get(topic_id, NO_TOPIC) if topic_id is not None else NO_TOPIC
        rate = _correct_rate(row)
        if code == NO_TOPIC or code not in available:
            continue
        if is_weak(row):
            urgent.append((0, rate or 0.0, topic_id, code))
        elif rate is not None:
            urgent.append((1, rate, topic_id, code))
    chosen = [(topic_id, code) for _rank, _rate, topic_id, code in sorted(urgent)]
    met = {code for _topic, code in chosen}
    for topic_id, code in codes.items():
        if len(chosen) >= TOPICS_RECOMMENDED:
            break
        if code in available and code not in met:
            chosen.append((topic_id, code))
    if NO_TOPIC in available:
        chosen.append((None, NO_TOPIC))
    return chosen[:TOPICS_RECOMMENDED]
