"""The exam application's tables as the loader knows them: keys, columns, what is acceptable."""

from dataclasses import dataclass
from enum import Enum

SCHEMA = "exam"
# A B-tree entry holds about 2,700 bytes, and a key may have three parts.
ID_MAX_BYTES = 800


class Kind(Enum):
    """What a column holds; the values are PostgreSQL's types."""

    ID = "text"
    TEXT = "text "
    FLOAT = "double precision"
    INTEGER = "integer"
    TIMESTAMP = "timestamp with time zone"
    DATE = "date"
    JSON = "jsonb"
    UUID = "uuid"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    `is_required` rejects a line without it. `fallback` names the column that stands in when
    this one is missing. `has_default` leaves a missing value to the table's default when the
    row is new, and as it is when it is not.
    """

    name: str
    kind: Kind
    is_required: bool = False
    fallback: str | None = None
    has_default: bool = False
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True)
class Table:
    """A table: a line of its key replaces the row of that key."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    # A second identity: a value that belongs to another row is a reason to reject.
    identity: str | None = None

    @property
    def qualified_name(self) -> str:
        """The name with its schema."""
        return f"{SCHEMA}.{self.name}"


def _id(name: str, *, is_required: bool = False) -> Column:
    return Column(name, Kind.ID, is_required=is_required)


TABLES = {
    table.name: table
    for table in (
        Table(
            "exam_results",
            key=("session_id",),
            identity="id",
            columns=(
                Column("id", Kind.UUID, has_default=True),
                _id("session_id", is_required=True),
                _id("user_id"),
                _id("exam_id"),
                _id("org_id"),
                Column("status", Kind.TEXT, is_required=True),
                Column("result_json", Kind.JSON),
                Column("score_raw", Kind.FLOAT),
                Column("score_scaled", Kind.FLOAT),
                Column("standard_error", Kind.FLOAT),
                Column("percentile", Kind.FLOAT),
                Column("created_at", Kind.TIMESTAMP, is_required=True, fallback="updated_at"),
                Column("updated_at", Kind.TIMESTAMP, is_required=True, fallback="created_at"),
            ),
        ),
        Table(
            "session",
            key=("id",),
            columns=(
                _id("id", is_required=True),
                _id("user_id"),
                _id("exam_id"),
                _id("classroom_id"),
                _id("org_id"),
                Column("started_at", Kind.TIMESTAMP),
                Column("ended_at", Kind.TIMESTAMP),
                Column("status", Kind.TEXT),
            ),
        ),
        Table(
            "question",
            key=("id",),
            columns=(
                _id("id", is_required=True),
                Column("content", Kind.TEXT),
                Column("difficulty", Kind.TEXT),
                _id("topic_id"),
                Column("meta", Kind.JSON),
                Column("created_at", Kind.TIMESTAMP, fallback="updated_at", has_default=True),
                Column("updated_at", Kind.TIMESTAMP, fallback="created_at", has_default=True),
            ),
        ),
        Table(
            "interest_goal",
            key=("user_id", "topic_id"),
            columns=(
                _id("user_id", is_required=True),
                _id("topic_id"),
                Column("target_level", Kind.FLOAT, is_required=True),
                Column("priority", Kind.INTEGER, has_default=True, minimum=0, maximum=100),
                Column("target_date", Kind.DATE),
                Column("created_at", Kind.TIMESTAMP, has_default=True),
            ),
        ),
        Table(
            "classroom",
            key=("id",),
            columns=(
                _id("id", is_required=True),
                _id("org_id"),
                Column("name", Kind.TEXT),
                Column("grade", Kind.TEXT),
            ),
        ),
        Table(
            "classroom_student",
            key=("classroom_id", "user_id", "from_date"),
            columns=(
                _id("classroom_id", is_required=True),
                _id("user_id", is_required=True),
                Column("from_date", Kind.DATE, is_required=True),
                Column("to_date", Kind.DATE),
            ),
        ),
        Table(
            "student_profile",
            key=("user_id",),
            columns=(
                _id("user_id", is_required=True),
                Column("display_name", Kind.TEXT),
                Column("locale", Kind.TEXT),
                Column("grade", Kind.TEXT),
                Column("group_labels", Kind.JSON),
                Column("report_formats", Kind.JSON),
            ),
        ),
    )
}
