"""Topics, the item bank with its true parameters, and the exam forms."""

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from warehouse.academy.options import AcademyOptions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LEVELS = ("기초", "표준", "심화")
LEVEL_DIFFICULTY = (-0.4, 0.0, 0.4)
FORMS_PER_LEVEL = 3
MAX_FORM_LENGTH = 25
NUMERIC_ID_EVERY = 5
MULTIPLE_CHOICE_SHARE = 0.3
ANSWERS_PER_ITEM = 5


@dataclass(frozen=True)
class Topic:
    """A topic of the curriculum; `topic_id` is what deliveries carry."""

    topic_id: str
    subject: str
    name: str


TOPICS = (
    Topic("다항식", "수학", "다항식"),
    Topic("이차함수", "수학", "이차함수"),
    Topic("지수와 로그", "수학", "지수와 로그"),
    Topic("삼각함수", "수학", "삼각함수"),
    Topic("수열", "수학", "수열"),
    Topic("미분", "수학", "미분"),
    Topic("적분", "수학", "적분"),
    Topic("확률과 통계", "수학", "확률과 통계"),
    Topic("어휘", "영어", "어휘"),
    Topic("어법", "영어", "어법"),
    Topic("빈칸 추론", "영어", "빈칸 추론"),
    Topic("글의 순서", "영어", "글의 순서"),
    Topic("독서", "국어", "독서"),
    Topic("문학", "국어", "문학"),
    Topic("화법과 작문", "국어", "화법과 작문"),
    Topic("언어와 매체", "국어", "언어와 매체"),
    Topic("역학", "과학", "역학"),
    Topic("화학 반응", "과학", "화학 반응"),
    Topic("유전", "과학", "유전"),
    Topic("지구 시스템", "과학", "지구 시스템"),
)


@dataclass(frozen=True)
class ItemBank:
    """Items and their truth; every array has one entry per item.

    `discrimination`, `difficulty` and `guessing` are on the logistic metric (D = 1) of the
    student population at its start, theta ~ N(0, 1). `answers[i][0]` is the correct answer,
    `wrong_answer_cumulative` (items x 4) says how the wrong ones share out.
    """

    item_ids: tuple[str, ...]
    json_ids: tuple[str, ...]
    topic: Ints
    discrimination: Floats
    difficulty: Floats
    guessing: Floats
    is_multiple_choice: Bools
    popularity: Floats
    time_intensity: Floats
    is_anchor: Bools
    answers: tuple[tuple[str, ...], ...]
    wrong_answer_cumulative: Floats


def item_bank(options: AcademyOptions) -> ItemBank:
    """Draw the item bank: discrimination lognormal, difficulty normal, few items with guessing."""
    draw = options.generator("items")
    count = options.items
    numbers = range(1, count + 1)
    is_plain = [number % NUMERIC_ID_EVERY == 0 for number in numbers]
    item_ids = tuple(
        str(number) if plain else f"q_{number}"
        for number, plain in zip(numbers, is_plain, strict=True)
    )
    json_ids = tuple(
        item_id if plain else json.dumps(item_id)
        for item_id, plain in zip(item_ids, is_plain, strict=True)
    )
    discrimination = np.clip(draw.lognormal(np.log(1.2), 0.18, count), 0.7, 2.2)
    difficulty = np.clip(draw.normal(0.0, 0.8, count), -1.9, 1.9)
    is_multiple_choice = draw.random(count) < MULTIPLE_CHOICE_SHARE
    asymptote = draw.uniform(0.5 * options.guessing, 1.5 * options.guessing, count)
    wrong_shares = draw.dirichlet(np.full(ANSWERS_PER_ITEM - 1, 3.0), count)
    return ItemBank(
        item_ids=item_ids,
        json_ids=json_ids,
        topic=draw.permutation(np.arange(count) % len(TOPICS)).astype(np.int64),
        discrimination=np.round(discrimination, 6),
        difficulty=np.round(difficulty, 6),
        guessing=np.where(is_multiple_choice, asymptote, 0.0).round(6),
        is_multiple_choice=is_multiple_choice,
        popularity=draw.normal(0.0, 0.8, count),
        time_intensity=draw.normal(0.0, 0.25, count),
        is_anchor=_anchors(difficulty, options.anchors),
        answers=tuple(_answers(draw, bool(choice)) for choice in is_multiple_choice),
        wrong_answer_cumulative=np.cumsum(wrong_shares, axis=1),
    )


def _anchors(difficulty: Floats, count: int) -> Bools:
    """Mark items spread evenly over the range of difficulty."""
    chosen = np.zeros(len(difficulty), dtype=np.bool_)
    if count:
        ranks = np.linspace(0, len(difficulty) - 1, count).round().astype(np.int64)
        chosen[np.argsort(difficulty, kind="stable")[ranks]] = True
    return chosen


def _answers(draw: np.random.Generator, is_multiple_choice: bool) -> tuple[str, ...]:
    if is_multiple_choice:
        return tuple(str(option) for option in draw.permutation(ANSWERS_PER_ITEM) + 1)
    correct = int(draw.integers(1, 200))
    return tuple(str(correct + shift) for shift in (0, 1, -1, 10, 2))


def exam_forms(options: AcademyOptions, bank: ItemBank) -> Ints:
    """Build the exam forms, (levels, forms, questions) of item positions.

    The forms of a level share no item and are parallel: its items are sorted by difficulty and
    dealt out. Levels overlap, and at least half of the bank stays out of any level's forms.
    """
    draw = options.generator("forms")
    length = min(MAX_FORM_LENGTH, options.items // (2 * FORMS_PER_LEVEL))
    forms = np.empty((len(LEVELS), FORMS_PER_LEVEL, length), dtype=np.int64)
    for level, centre in enumerate(LEVEL_DIFFICULTY):
        weight = -0.5 * ((bank.difficulty - centre) / 1.4) ** 2
        keys = weight + draw.gumbel(size=options.items)
        chosen = np.argsort(-keys, kind="stable")[: FORMS_PER_LEVEL * length]
        by_difficulty = chosen[np.argsort(bank.difficulty[chosen], kind="stable")]
        dealt = by_difficulty.reshape(length, FORMS_PER_LEVEL)
        forms[level] = draw.permuted(dealt, axis=1).T
    return draw.permuted(forms, axis=2)


def form_ids(forms: Ints) -> list[list[int]]:
    """Name the forms: 101, 102, 103 for the first level, 201 for the second."""
    levels, per_level, _ = forms.shape
    return [[100 * (level + 1) + form + 1 for form in range(per_level)] for level in range(levels)]
