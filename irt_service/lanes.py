"""Loops over table rows that the compiler does not find by itself.

E-steps add rows of a table at random places, sum them with weights, or add one vector to many
rows. Here the vector stays in registers over all rows of a student, and the rows to come are
prefetched, which decides the speed once the tables outgrow the second-level cache.

A lane is LANE numbers, float64 or float32; a row of a table is a whole number of lanes. `starts`
holds where rows begin, and AHEAD more places that are only prefetched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from irt_service.compiled import compiled
from irt_service.quadrature import LANE

# numba's own modules are typed in part only.
_types: Any = numba.types
_cgutils: Any = cgutils

AHEAD = 12  # rows that are prefetched ahead of their use
MOST_LANES = 4  # at once: two vectors of them fit into the registers

_CACHE_LINE = 64
_INT32 = ir.IntType(32)
_BYTES = ir.IntType(8).as_pointer()
_REASSOCIATE = ("reassoc",)

# exp(x) = 2^n exp(r) in single precision: Cephes' expf (Moshier, 1992), error below 2 ulp.
_SMALLEST_EXPONENT = -87.0
_LOG2_E = 1.44269504088896341
_LN2_HIGH = 0.693359375
_LN2_LOW = -2.12194440e-4
_EXP_TERMS = (
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
)
_EXPONENT_BIAS = 127
_MANTISSA_BITS = 23


def _is_single(kind: Any) -> bool:
    return bool(kind.dtype == _types.float32)


def _vector(kind: Any) -> ir.VectorType:
    return ir.VectorType(ir.FloatType() if _is_single(kind) else ir.DoubleType(), LANE)


class _Lanes:
    """Lanes of one array argument."""

    def __init__(self, context: Any, builder: Any, kind: Any, array: Any) -> None:
        self._builder, self.kind = builder, kind
        self._data = context.make_array(kind)(context, builder, array).data
        self.bytes_per_number = kind.dtype.bitwidth // 8

    def _address(self, index: Any) -> Any:
        return self._builder.gep(self._data, [index])

    def _lane(self, index: Any, lane: int) -> Any:
        at = self._builder.add(index, ir.Constant(index.type, lane * LANE))
        return self._builder.bitcast(self._address(at), _vector(self.kind).as_pointer())

    def load(self, index: Any, lane: int = 0) -> Any:
        return self._builder.load(self._lane(index, lane), align=self.bytes_per_number)

    def store(self, value: Any, index: Any, lane: int = 0) -> None:
        self._builder.store(value, self._lane(index, lane), align=self.bytes_per_number)

    def number(self, index: Any) -> Any:
        return self._builder.load(self._address(index))

    def put_number(self, value: Any, index: Any) -> None:
        self._builder.store(value, self._address(index))

    def prefetch(self, index: Any, lanes: int) -> None:
        """Ask for the cache lines of `lanes` lanes."""
        builder = self._builder
        numbers = [ir.Constant(_INT32, value) for value in (0, 3, 1)]  # read, keep, data
        function = _cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [_BYTES, _INT32, _INT32, _INT32]),
            "llvm.prefetch.p0",
        )
        for offset in range(0, lanes * LANE, _CACHE_LINE // self.bytes_per_number):
            at = self._address(builder.add(index, ir.Constant(index.type, offset)))
            builder.call(function, [builder.bitcast(at, _BYTES), *numbers])


def _for_rows(builder: Any, starts: _Lanes, low: Any, count: Any, use: Any) -> None:
    """use(row number, its place, the place to prefetch) for each of `count` rows."""
    with _cgutils.for_range(builder, count) as loop:
        later = builder.add(loop.index, ir.Constant(loop.index.type, AHEAD))
        places = [builder.sext(starts.number(at), low.type) for at in (loop.index, later)]
        use(loop.index, *(builder.add(place, low) for place in places))


def _for_lanes(builder: Any, lanes: Any, emit: Callable[[int], None]) -> None:
    """Code for each number of lanes, up to MOST_LANES and more than that taken as MOST_LANES."""
    for number in range(1, MOST_LANES + 1):
        relation = "==" if number < MOST_LANES else ">="
        chosen = builder.icmp_signed(relation, lanes, ir.Constant(lanes.type, number))
        with builder.if_then(chosen):
            emit(number)


def _add_sum(
    _typing: Any, total: Any, _low: Any, _lanes: Any, table: Any, starts: Any, _count: Any
) -> Any:
    """total[low:] += sum over rows of table[start + low:], up to MOST_LANES lanes."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        low, given, count = arguments[1], arguments[2], arguments[5]
        into, rows, places = (
            _Lanes(context, builder, signature.args[k], arguments[k]) for k in (0, 3, 4)
        )

        def emit(lanes: int) -> None:
            sums = [_cgutils.alloca_once(builder, _vector(table)) for _ in range(lanes)]
            for lane in range(lanes):
                builder.store(into.load(low, lane), sums[lane])

            def use(_: Any, start: Any, ahead: Any) -> None:
                rows.prefetch(ahead, lanes)
                for lane in range(lanes):
                    term = rows.load(start, lane)
                    builder.store(builder.fadd(builder.load(sums[lane]), term), sums[lane])

            _for_rows(builder, places, low, count, use)
            for lane in range(lanes):
                into.store(builder.load(sums[lane]), low, lane)

        _for_lanes(builder, given, emit)
        return context.get_dummy_value()

    return _types.void(total, _types.intp, _types.intp, table, starts, _types.intp), code


def _add_to_each(
    _typing: Any, counts: Any, _low: Any, _lanes: Any, source: Any, starts: Any, _count: Any
) -> Any:
    """counts[start + low:] += source[low:] for every row, up to MOST_LANES lanes."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        low, given, count = arguments[1], arguments[2], arguments[5]
        rows, vector, places = (
            _Lanes(context, builder, signature.args[k], arguments[k]) for k in (0, 3, 4)
        )

        def emit(lanes: int) -> None:
            terms = [vector.load(low, lane) for lane in range(lanes)]

            def use(_: Any, start: Any, ahead: Any) -> None:
                rows.prefetch(ahead, lanes)
                for lane in range(lanes):
                    rows.store(builder.fadd(rows.load(start, lane), terms[lane]), start, lane)

            _for_rows(builder, places, low, count, use)

        _for_lanes(builder, given, emit)
        return context.get_dummy_value()

    return _types.void(counts, _types.intp, _types.intp, source, starts, _types.intp), code


def _add_products(
    _typing: Any,
    out: Any,
    _low: Any,
    _lanes: Any,
    vectors: Any,
    table: Any,
    starts: Any,
    _count: Any,
) -> Any:
    """out[2 k], out[2 k + 1] += row k times the first and the second half of `vectors`."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        low, given, count = arguments[1], arguments[2], arguments[6]
        into, both, rows, places = (
            _Lanes(context, builder, signature.args[k], arguments[k]) for k in (0, 3, 4, 5)
        )
        stored = context.make_array(vectors)(context, builder, arguments[3])
        half = builder.udiv(stored.nitems, ir.Constant(low.type, 2))
        begins = [low, builder.add(low, half)]
        kind = _vector(table)
        reduce = _cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(kind.element, [kind.element, kind]),
            f"llvm.vector.reduce.fadd.v{LANE}f{table.dtype.bitwidth}",
        )

        def emit(lanes: int) -> None:
            terms = [[both.load(at, lane) for lane in range(lanes)] for at in begins]

            def use(row: Any, start: Any, ahead: Any) -> None:
                rows.prefetch(ahead, lanes)
                values = [rows.load(start, lane) for lane in range(lanes)]
                for part in range(2):
                    total = builder.fmul(values[0], terms[part][0])
                    for lane in range(1, lanes):
                        total = builder.fadd(total, builder.fmul(values[lane], terms[part][lane]))
                    zero = ir.Constant(kind.element, 0.0)
                    number = builder.call(reduce, [zero, total], fastmath=_REASSOCIATE)
                    twice = builder.mul(row, ir.Constant(row.type, 2))
                    at = builder.add(twice, ir.Constant(row.type, part))
                    into.put_number(builder.fadd(into.number(at), number), at)

            _for_rows(builder, places, low, count, use)

        _for_lanes(builder, given, emit)
        return context.get_dummy_value()

    signature = (out, _types.intp, _types.intp, vectors, table, starts, _types.intp)
    return _types.void(*signature), code


def _single_exponential(builder: Any, x: Any) -> Any:
    """exp of a vector of float32 that are not above 0."""
    kind = x.type

    def constant(value: float) -> Any:
        return ir.Constant(kind, [value] * LANE)

    least = constant(_SMALLEST_EXPONENT)
    x = builder.select(builder.fcmp_ordered("<", x, least), least, x)
    function = ir.FunctionType(kind, [kind])
    rint = _cgutils.get_or_insert_function(builder.module, function, f"llvm.rint.v{LANE}f32")
    n = builder.call(rint, [builder.fmul(x, constant(_LOG2_E))])
    rest = builder.fsub(x, builder.fmul(n, constant(_LN2_HIGH)))
    rest = builder.fsub(rest, builder.fmul(n, constant(_LN2_LOW)))
    series = constant(_EXP_TERMS[0])
    for term in _EXP_TERMS[1:]:
        series = builder.fadd(builder.fmul(series, rest), constant(term))
    series = builder.fmul(series, builder.fmul(rest, rest))
    series = builder.fadd(builder.fadd(series, rest), constant(1.0))
    integers = ir.VectorType(_INT32, LANE)
    biased = builder.add(
        builder.fptosi(n, integers), ir.Constant(integers, [_EXPONENT_BIAS] * LANE)
    )
    power = builder.shl(biased, ir.Constant(integers, [_MANTISSA_BITS] * LANE))
    return builder.fmul(series, builder.bitcast(power, kind))


def _exponentiate_lane(_typing: Any, array: Any, _at: Any, _largest: Any) -> Any:
    """array[at : at + LANE] = exp(array[at : at + LANE] - largest), largest not below them."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = _vector(array)
        lane = _Lanes(context, builder, signature.args[0], arguments[0])
        shift = ir.Constant(kind, ir.Undefined)
        for place in range(LANE):
            shift = builder.insert_element(shift, arguments[2], ir.Constant(_INT32, place))
        x = builder.fsub(lane.load(arguments[1]), shift)
        if _is_single(array):
            result = _single_exponential(builder, x)
        else:
            exp = _cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(kind, [kind]), f"llvm.exp.v{LANE}f64"
            )
            result = builder.call(exp, [x])
        lane.store(result, arguments[1])
        return context.get_dummy_value()

    return _types.void(array, _types.intp, array.dtype), code


# Kernels call them with arrays and integers; only the compiler sees their real signature.
exponentiate_lane: Any = intrinsic(_exponentiate_lane)
_sum: Any = intrinsic(_add_sum)
_spread: Any = intrinsic(_add_to_each)
_multiply: Any = intrinsic(_add_products)


@compiled
def sum_rows(total: Any, low: int, high: int, table: Any, starts: Any, count: int) -> None:
    """Add table[start + low : start + high] of every start to total[low:high].

    Args:
        total: shape (S,); added to.
        low: first node, a multiple of LANE.
        high: one past the last node, a multiple of LANE.
        table: flat, rows of S.
        starts: where the rows begin, int32, shape (count + AHEAD,) or more.
        count: how many rows.
    """
    for at in range(low, high, MOST_LANES * LANE):
        _sum(total, at, (high - at) // LANE, table, starts, count)


@compiled
def spread_rows(counts: Any, low: int, high: int, source: Any, starts: Any, count: int) -> None:
    """Add source[low:high] to the rows of `counts` (flat) that begin at `starts`."""
    for at in range(low, high, MOST_LANES * LANE):
        _spread(counts, at, (high - at) // LANE, source, starts, count)


@compiled
def multiply_rows(
    out: Any, low: int, high: int, vectors: Any, table: Any, starts: Any, count: int
) -> None:
    """Products of `count` rows with two vectors, which follow each other in `vectors` (2 S,).

    Written to out[2 k] and out[2 k + 1].
    """
    for k in range(2 * count):
        out[k] = 0.0
    for at in range(low, high, MOST_LANES * LANE):
        _multiply(out, at, (high - at) // LANE, vectors, table, starts, count)
