"""Graded responses as a sparse matrix: students in rows, items in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from irt_service.compiled import compiled
from irt_service.errors import InvalidInputError

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Grades = npt.NDArray[np.int8]
Strings = npt.NDArray[np.object_]

SHOWN = 3  # examples named in an error
WRITE_GRADES = "write 0 or 1 (or true or false), and leave unanswered questions out"
LEAVE_OUT = "leave unanswered questions out, and give every response its ids"


@dataclass(frozen=True)
class ResponseMatrix:
    """First graded responses in compressed sparse rows.

    Students and items are in the order of their ids' bytes and a student's responses in the
    order of the items, so that the order in which rows arrive changes no bit of any result.

    Attributes:
        person_ids: shape (N,), str objects.
        item_ids: shape (J,), str objects.
        indptr: shape (N + 1,), int64; student i holds indptr[i]:indptr[i + 1].
        items: shape (nnz,), int32 positions in item_ids, rising within a student.
        correct: shape (nnz,), int8, 0 or 1.
        weights: shape (N,), float64 person weights, or None for 1 each.
    """

    person_ids: Strings
    item_ids: Strings
    indptr: Index
    items: Codes
    correct: Grades
    weights: Floats | None = None

    @property
    def n_persons(self) -> int:
        """Number of students."""
        return len(self.person_ids)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.item_ids)

    @property
    def n_responses(self) -> int:
        """Number of responses."""
        return len(self.items)

    @staticmethod
    def from_long(
        student: Any, item: Any, correct: Any, weights: dict[str, float] | None = None
    ) -> ResponseMatrix:
        """Validate a long table and turn it into a matrix.

        Args:
            student: ids, one per response: a sequence of str, a NumPy or Arrow array.
            item: ids, likewise. Integers are taken as their decimal text.
            correct: 0/1, True/False or 0.0/1.0, one per response.
            weights: a weight per student id; every student needs one.

        Raises:
            InvalidInputError: unequal lengths, no rows, missing values, a grade that is not
                0 or 1, the same student and item twice, a weight that is missing, negative or
                not finite.
        """
        grades = _grades(correct)
        students, person_ids = _codes(student, "student_id")
        questions, item_ids = _codes(item, "item_id")
        if not len(students) == len(questions) == len(grades):
            raise InvalidInputError(
                "the columns have unequal lengths",
                f"student_id {len(students)}, item_id {len(questions)}, is_correct {len(grades)}",
                "give one student, item and grade per response",
            )
        if len(grades) == 0:
            raise InvalidInputError("there are no responses", remedy="give at least one row")
        indptr, items, sorted_grades = _compress(
            students, questions, grades, len(person_ids), len(item_ids)
        )
        _refuse_duplicates(indptr, items, person_ids, item_ids)
        return ResponseMatrix(
            person_ids, item_ids, indptr, items, sorted_grades, _weights(weights, person_ids)
        )

    @staticmethod
    def from_dense(
        values: npt.ArrayLike,
        item_ids: Sequence[str],
        person_ids: Sequence[str] | None = None,
        weights: npt.ArrayLike | None = None,
    ) -> ResponseMatrix:
        """Take a students x items table in which NaN means not answered.

        Students keep their order and may have no response at all.

        Raises:
            InvalidInputError: a value other than 0, 1 and NaN, shapes that do not agree, a
                weight that is negative or not finite.
        """
        table = np.asarray(values, dtype=np.float64)
        shape = (len(person_ids) if person_ids is not None else len(table), len(item_ids))
        if table.shape != shape:
            raise InvalidInputError(
                "the response table has the wrong shape", f"{table.shape} instead of {shape}"
            )
        rows, columns = np.nonzero(~np.isnan(table))
        names = person_ids if person_ids is not None else [str(i + 1) for i in range(len(table))]
        people = np.array(names, dtype=object)
        return ResponseMatrix(
            people,
            np.array(item_ids, dtype=object),
            np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(table)))]).astype(
                np.int64
            ),
            columns.astype(np.int32),
            _grades(table[rows, columns]),
            None if weights is None else _checked_weights(weights, people),
        )

    def item_counts(self) -> Index:
        """Responses per item, shape (J,)."""
        return self.tally()[:, 0].astype(np.int64)

    def tally(self, keep_items: npt.NDArray[np.bool_] | None = None) -> Floats:
        """Sums per item in one pass, without copies of the responses; not to be written to.

        Args:
            keep_items: items that count as answered for the last column; all by default.

        Returns:
            Shape (J, 4): responses; weight of the responses; weight of the correct ones;
            responses of students who also answered another of the kept items.
        """
        if keep_items is None or keep_items.all():
            return self._whole_tally
        return self._tally_of(keep_items)

    @cached_property
    def _whole_tally(self) -> Floats:
        tally = self._tally_of(np.ones(self.n_items, np.bool_))
        tally.setflags(write=False)
        return tally

    def _tally_of(self, keep: npt.NDArray[np.bool_]) -> Floats:
        weights = np.ones(1) if self.weights is None else self.weights
        return _tally(self.indptr, self.items, self.correct, weights, keep)

    def person_counts(self) -> Index:
        """Responses per student, shape (N,)."""
        return np.diff(self.indptr)

    def select(
        self, keep_items: npt.NDArray[np.bool_], fewest_per_person: int = 1
    ) -> ResponseMatrix:
        """Keep some items, and the students who then still have enough responses.

        Args:
            keep_items: shape (J,), bool.
            fewest_per_person: students with fewer responses to the kept items are dropped.
        """
        if keep_items.all() and (np.diff(self.indptr) >= fewest_per_person).all():
            return self
        keep = keep_items[self.items]
        counts = np.diff(np.concatenate([[0], np.cumsum(keep)])[self.indptr])
        stays = counts >= fewest_per_person
        keep &= np.repeat(stays, np.diff(self.indptr))
        new_position = (np.cumsum(keep_items) - 1).astype(np.int32)
        return ResponseMatrix(
            self.person_ids[stays],
            self.item_ids[keep_items],
            np.concatenate([[0], np.cumsum(counts[stays])]).astype(np.int64),
            new_position[self.items[keep]],
            self.correct[keep],
            None if self.weights is None else self.weights[stays],
        )


def _examples(values: Sequence[object]) -> str:
    shown = ", ".join(repr(value) for value in values[:SHOWN])
    return shown + (", …" if len(values) > SHOWN else "")


def _arrow(values: Any, column: str) -> pa.Array:
    try:
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InvalidInputError(
            "a column cannot be read", f"{column}: {error}", "give one plain value per response"
        ) from error
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if array.null_count:
        row = int(np.argmax(pc.is_null(array).to_numpy(zero_copy_only=False)))
        raise InvalidInputError(
            f"{column} is missing in {array.null_count} rows",
            f"first in row {row + 1}",
            LEAVE_OUT,
        )
    return array


def _codes(values: Any, column: str) -> tuple[Codes, Strings]:
    """Codes by the byte order of the distinct ids, and those ids."""
    array = _arrow(values, column)
    if len(array) == 0:
        return np.empty(0, np.int32), np.empty(0, object)
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    kind = array.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        if not (pa.types.is_integer(kind) or pa.types.is_string_view(kind)):
            raise InvalidInputError(
                "ids must be text", f"{column} is of type {kind}", "write them as text"
            )
        array = array.cast(pa.large_string())
    encoded = array.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    ids = encoded.dictionary.take(pa.array(order)).to_numpy(zero_copy_only=False)
    if ids[0] == "":
        row = int(np.argmin(rank[encoded.indices.to_numpy()])) + 1
        raise InvalidInputError(f"{column} is missing", f"first in row {row}", LEAVE_OUT)
    return rank[encoded.indices.to_numpy()], np.asarray(ids, dtype=object)


def _grades(values: Any) -> Grades:
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        plain = values
    else:
        array = _arrow(values, "is_correct")
        kind = array.type
        if len(array) == 0:
            return np.empty(0, np.int8)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            plain = _grades_of_text(array)
        elif pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
            plain = array.to_numpy(zero_copy_only=False)
        else:
            raise InvalidInputError("is_correct must be 0 or 1", f"found {kind}", WRITE_GRADES)
    wrong = (plain != 0) & (plain != 1)
    if wrong.any():
        rows = np.flatnonzero(wrong)
        raise InvalidInputError(
            f"is_correct must be 0 or 1 but is not in {len(rows)} rows",
            f"first in row {rows[0] + 1}: {plain[rows[0]]}",
            WRITE_GRADES,
        )
    return plain.astype(np.int8)


def _grades_of_text(array: pa.Array) -> Grades:
    """Grades of a column that is text because of some of its rows."""
    is_one = pc.is_in(array, value_set=pa.array(["1", "true", "True"], array.type))
    is_zero = pc.is_in(array, value_set=pa.array(["0", "false", "False"], array.type))
    known = pc.or_(is_one, is_zero).to_numpy(zero_copy_only=False)
    if not known.all():
        rows = np.flatnonzero(~known)
        raise InvalidInputError(
            f"is_correct must be 0 or 1 but is not in {len(rows)} rows",
            f"first in row {rows[0] + 1}: {array[int(rows[0])].as_py()!r}",
            WRITE_GRADES,
        )
    return np.asarray(is_one.to_numpy(zero_copy_only=False)).astype(np.int8)


@compiled
def _order_by(keys: Codes, order: Index, count: int) -> Index:
    """Stable counting sort of `order` by keys[order]."""
    starts = np.zeros(count + 1, np.int64)
    for key in keys:
        starts[key + 1] += 1
    for k in range(count):
        starts[k + 1] += starts[k]
    result = np.empty(len(order), np.int64)
    for position in order:
        key = keys[position]
        result[starts[key]] = position
        starts[key] += 1
    return result


@compiled
def _tally(
    indptr: Index,
    items: Codes,
    correct: Grades,
    weights: Floats,
    keep: npt.NDArray[np.bool_],
) -> Floats:
    """See ResponseMatrix.tally; weights has shape (N,) or (1,)."""
    sums = np.zeros((len(keep), 4))
    for i in range(len(indptr) - 1):
        weight = weights[i % len(weights)]
        kept = 0
        for k in range(indptr[i], indptr[i + 1]):
            kept += keep[items[k]]
        for k in range(indptr[i], indptr[i + 1]):
            j = items[k]
            sums[j, 0] += 1.0
            sums[j, 1] += weight
            sums[j, 2] += weight * correct[k]
            sums[j, 3] += kept - keep[j] > 0
    return sums


def _compress(
    students: Codes, questions: Codes, grades: Grades, n_persons: int, n_items: int
) -> tuple[Index, Codes, Grades]:
    by_item = _order_by(questions, np.arange(len(questions), dtype=np.int64), n_items)
    order = _order_by(students, by_item, n_persons)
    indptr = np.zeros(n_persons + 1, np.int64)
    np.cumsum(np.bincount(students, minlength=n_persons), out=indptr[1:])
    return indptr, questions[order], grades[order]


def _refuse_duplicates(indptr: Index, items: Codes, person_ids: Strings, item_ids: Strings) -> None:
    same = np.zeros(len(items), np.bool_)
    same[1:] = items[1:] == items[:-1]
    starts = indptr[:-1]
    same[starts[starts < len(items)]] = False
    if same.any():
        places = np.flatnonzero(same)
        person = person_ids[np.searchsorted(indptr, places[0], side="right") - 1]
        raise InvalidInputError(
            f"{len(places)} responses repeat a student and an item",
            f"first student {person!r}, item {item_ids[items[places[0]]]!r}",
            "keep the first graded attempt per student and item",
        )


def _weights(weights: dict[str, float] | None, person_ids: Strings) -> Floats | None:
    if weights is None:
        return None
    missing = [person for person in person_ids if person not in weights]
    if missing:
        raise InvalidInputError("students without a weight", _examples(missing))
    return _checked_weights([weights[person] for person in person_ids], person_ids)


def _checked_weights(weights: npt.ArrayLike, person_ids: Strings) -> Floats:
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != person_ids.shape:
        raise InvalidInputError(
            "every student needs one weight", f"{values.shape} for {len(person_ids)} students"
        )
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        raise InvalidInputError(
            "weights must be finite and not negative", _examples(list(person_ids[wrong]))
        )
    return values
