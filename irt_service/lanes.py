"""Two instructions that the compiler does not find by itself: wide row sums and prefetches.

E-steps add rows of a table at random places. On slices the compiler checks for overlap each time
and leaves remainders; these add LANE doubles at once. Prefetching hides the latency of the next
rows, which decides the speed once the tables outgrow the second-level cache.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from irt_service.quadrature import LANE

# numba's own modules are typed in part only.
_types: Any = numba.types
_cgutils: Any = cgutils

_VECTOR = ir.VectorType(ir.DoubleType(), LANE)
_DOUBLE_ALIGNMENT = 8
_INT32 = ir.IntType(32)
_BYTES = ir.IntType(8).as_pointer()


def _address(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [index])


def _load(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    address = _address(context, builder, kind, array, index)
    return builder.load(builder.bitcast(address, _VECTOR.as_pointer()), align=_DOUBLE_ALIGNMENT)


def _store_sum(context: Any, builder: Any, kind: Any, place: tuple[Any, Any], term: Any) -> None:
    total = builder.fadd(_load(context, builder, kind, *place), term)
    address = _address(context, builder, kind, *place)
    builder.store(total, builder.bitcast(address, _VECTOR.as_pointer()), align=_DOUBLE_ALIGNMENT)


def _add_lane(_typing: Any, into: Any, _at: Any, source: Any, _start: Any) -> Any:
    """into[at : at + LANE] += source[start : start + LANE] on contiguous float64 arrays."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        term = _load(context, builder, kinds[2], arguments[2], arguments[3])
        _store_sum(context, builder, kinds[0], (arguments[0], arguments[1]), term)
        return context.get_dummy_value()

    return _types.void(into, _types.intp, source, _types.intp), code


def _add_four_lanes(_typing: Any, into: Any, _at: Any, source: Any, _starts: Any) -> Any:
    """into[at : at + LANE] += (s0 + s1) + (s2 + s3), LANE doubles of `source` from each start."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        terms = [
            _load(context, builder, kinds[2], arguments[2], start)
            for start in _cgutils.unpack_tuple(builder, arguments[3])
        ]
        first = builder.fadd(terms[0], terms[1])
        term = builder.fadd(first, builder.fadd(terms[2], terms[3]))
        _store_sum(context, builder, kinds[0], (arguments[0], arguments[1]), term)
        return context.get_dummy_value()

    return _types.void(into, _types.intp, source, _types.UniTuple(_types.intp, 4)), code


def _prefetch(_typing: Any, array: Any, _index: Any) -> Any:
    """Ask for the cache line of array[index]; an index outside is harmless."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], arguments[0], arguments[1])
        numbers = [ir.Constant(_INT32, value) for value in (0, 3, 1)]  # read, keep, data
        function = _cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [_BYTES, _INT32, _INT32, _INT32]),
            "llvm.prefetch.p0",
        )
        builder.call(function, [builder.bitcast(address, _BYTES), *numbers])
        return context.get_dummy_value()

    return _types.void(array, _types.intp), code


# Kernels call them with arrays and integers; only the compiler sees their real signature.
add_lane: Any = intrinsic(_add_lane)
add_four_lanes: Any = intrinsic(_add_four_lanes)
prefetch: Any = intrinsic(_prefetch)
