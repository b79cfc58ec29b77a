"""What clients send: both shapes of scoring, both of calibration.

Fields that are not named here are refused, so that a misspelt one is not ignored in silence.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    TypeAdapter,
)

MOST_ITEMS = 5_000
MOST_STUDENTS = 10_000
MOST_OBSERVATIONS = 1_000_000
MOST_CALIBRATED_STUDENTS = 200_000
MOST_ANCHORS = 5_000
LONGEST_ID = 512

_SHAPE = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True, coerce_numbers_to_str=True)


# Numbers are taken as their text: some clients' databases count their items.
Id = Annotated[
    str,
    Field(min_length=1, max_length=LONGEST_ID, pattern=r"^[^\x00]+$", examples=["q_17"]),
]
# 1 also matches true and 1.0, and so on.
Grade = Annotated[
    Literal[0, 1, None],
    Field(
        description="1 or true: correct; 0 or false: not; null: not answered, which is not wrong",
        json_schema_extra={"enum": [0, 1, True, False, None]},
    ),
]
Discrimination = Annotated[float, Field(ge=-100, le=100, examples=[1.2])]
Difficulty = Annotated[float, Field(ge=-1000, le=1000, examples=[-0.5])]
Guessing = Annotated[float, Field(ge=0, lt=1, examples=[0.2])]


class Parameters(BaseModel):
    """P(correct) = c + (1 - c) / (1 + exp(-a (theta - b)))."""

    model_config = _SHAPE

    a: Discrimination
    b: Difficulty
    c: Guessing | None = 0.0


class ListedParameters(Parameters):
    """Parameters in the order of the columns; a name is allowed and not used."""

    item_id: Id | None = None
    item: Id | None = None


class KeyedResponse(BaseModel):
    """One student's answer to an item."""

    model_config = _SHAPE

    item_id: Id
    is_correct: Grade
    user_id: Id | None = Field(None, description="Allowed and not used")


class ScoreOne(BaseModel):
    """Score one student: parameters by item, answers by item."""

    model_config = _SHAPE

    item_params: Annotated[
        dict[Id, Parameters], Field(min_length=1, max_length=MOST_ITEMS), FailFast()
    ]
    responses: Annotated[
        list[KeyedResponse], Field(min_length=1, max_length=MOST_ITEMS), FailFast()
    ]


class ScoreMany(BaseModel):
    """Score many students: parameters by column, a row of answers per student."""

    model_config = _SHAPE

    item_params: Annotated[
        list[ListedParameters], Field(min_length=1, max_length=MOST_ITEMS), FailFast()
    ]
    responses: Annotated[
        list[Annotated[list[Grade], Field(min_length=1, max_length=MOST_ITEMS), FailFast()]],
        Field(min_length=1, max_length=MOST_STUDENTS),
        FailFast(),
    ]


class Observation(BaseModel):
    """One student's first graded answer to an item."""

    model_config = _SHAPE

    user_id: Id
    item_id: Id
    is_correct: Grade
    responded_at: str | None = Field(None, max_length=64, description="Allowed and not used")


class AnchorParameters(BaseModel):
    """Known parameters of an anchor."""

    model_config = _SHAPE

    a: Annotated[float, Field(gt=0, le=100, examples=[1.2])]
    b: Difficulty
    c: Guessing | None = 0.0


class Anchor(BaseModel):
    """An item whose parameters are known on the scale that is wanted."""

    model_config = _SHAPE

    item_id: Id
    params: AnchorParameters
    fixed: bool = Field(
        True,
        description="true: its parameters are held; false: the result is linked through it",
    )


class CalibrationOptions(BaseModel):
    """What both shapes of a calibration allow."""

    model_config = _SHAPE

    model: Annotated[
        Literal["Rasch", "1PL", "2PL", "3PL", "RASCH", "rasch", "1pl", "2pl", "3pl"] | None,
        Field(description="Default 2PL"),
    ] = None
    anchors: list[Anchor] | None = Field(
        None,
        max_length=MOST_ANCHORS,
        description="Items whose parameters set the scale; without them theta has mean 0, SD 1",
    )


class CalibrateObservations(CalibrationOptions):
    """Calibrate from one row per answer."""

    observations: Annotated[
        list[Observation], Field(min_length=1, max_length=MOST_OBSERVATIONS), FailFast()
    ]


class CalibrateMatrix(CalibrationOptions):
    """Calibrate from a row per student; columns are the items I1, I2, ..."""

    responses: Annotated[
        list[Annotated[list[Grade], Field(min_length=1, max_length=MOST_ITEMS), FailFast()]],
        Field(min_length=1, max_length=MOST_CALIBRATED_STUDENTS),
        FailFast(),
    ]


SCORE_ONE = TypeAdapter(ScoreOne)
SCORE_MANY = TypeAdapter(ScoreMany)
CALIBRATE_OBSERVATIONS = TypeAdapter(CalibrateObservations)
CALIBRATE_MATRIX = TypeAdapter(CalibrateMatrix)
