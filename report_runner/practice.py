"""What to practise next: items that the student would answer correctly about 7 times in 10.

A success rate of about 70 % is hard enough to learn from and easy enough to keep going.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from report_runner.records import ItemBank, Row

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
    known = {row["topic_id"]: row for row in topics}
    seen = {position for item in seen_items if (position := bank.positions.get(item)) is not None}
    chosen: list[Practice] = []
    for topic_id, positions in _by_urgency(known, bank):
        row = known.get(topic_id)
        is_known = row is not None and row["theta_basis"] == "topic" and row["theta"] is not None
        items = _suitable(float(row["theta"]) if row and is_known else theta, positions, seen, bank)
        if items:
            chosen.append(Practice(topic_id, is_weak(row), _correct_rate(row), items))
        if len(chosen) == TOPICS_RECOMMENDED:
            break
    return tuple(chosen)


def _suitable(
    theta: float, positions: NDArray[np.int64], seen: Set[int], bank: ItemBank
) -> tuple[PracticeItem, ...]:
    """Return the items of one topic that are nearest to the wanted probability."""
    logits = bank.discrimination[positions] * (theta - bank.difficulty[positions])
    # Beyond this an exponential overflows, and the probability is 0 or 1 anyway.
    chances = 1 / (1 + np.exp(-logits.clip(-_FARTHEST_LOGIT, _FARTHEST_LOGIT)))
    guessing = bank.guessing[positions]
    probability = guessing + (1 - guessing) * chances
    distance = np.abs(probability - TARGET_PROBABILITY)
    (near,) = (distance <= PROBABILITY_TOLERANCE).nonzero()
    items: list[PracticeItem] = []
    for index in near[distance[near].argsort(kind="stable")].tolist():
        position = int(positions[index])
        if position not in seen:
            items.append(
                PracticeItem(
                    item_id=bank.item_ids[position],
                    content=bank.contents[position],
                    probability=float(probability[index]),
                )
            )
        if len(items) == ITEMS_PER_TOPIC:
            break
    return tuple(items)


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


def _by_urgency(
    known: Mapping[str | None, Row], bank: ItemBank
) -> Iterator[tuple[str | None, NDArray[np.int64]]]:
    """Give topics with their items: weak ones, then the lowest share correct, then others.

    Others are those not met lately, in the order of their names; last comes what has no topic.
    """
    urgent = []
    for topic_id, row in known.items():
        if topic_id is None or topic_id not in bank.positions_by_topic:
            continue
        rate = _correct_rate(row)
        if is_weak(row):
            urgent.append((0, rate or 0.0, topic_id))
        elif rate is not None:
            urgent.append((1, rate, topic_id))
    met = {topic_id for _rank, _rate, topic_id in urgent}
    for _rank, _rate, topic_id in sorted(urgent):
        yield topic_id, bank.positions_by_topic[topic_id]
    without_topic = bank.positions_by_topic.get(None)
    for other, positions in bank.positions_by_topic.items():
        if other is not None and other not in met:
            yield other, positions
    if without_topic is not None:
        yield None, without_topic
