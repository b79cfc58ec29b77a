"""The fonts of the PDF reports, and what they can show.

PDF/UA forbids a glyph that is not in its font, so a character that none of them has is
replaced before the page is set.
"""

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path

import pylopdf_fonts_ko

REPLACEMENT = "\N{WHITE SQUARE}"

_UNICODE_TABLES = {(0, 4), (0, 6), (3, 10), (0, 3), (3, 1)}
_SEGMENTS, _GROUPS = 4, 12


@lru_cache
def font_files() -> tuple[Path, ...]:
    """Return the font files, all below `font_folders()`."""
    own = Path(str(resources.files("report_runner") / "fonts"))
    return (
        Path(pylopdf_fonts_ko.sans_path()),
        *sorted(path for path in own.iterdir() if path.suffix in {".otf", ".ttf"}),
    )


def font_folders() -> tuple[Path, ...]:
    """Return the folders in which Typst looks for fonts."""
    return tuple(dict.fromkeys(path.parent for path in font_files()))


@lru_cache
def covered() -> frozenset[int]:
    """Return the code points that at least one of the fonts has."""
    points: set[int] = set()
    for path in font_files():
        points |= character_map(path.read_bytes())
    return frozenset(points)


@lru_cache
def advances() -> Mapping[int, float]:
    """Return the widths, in ems, of the characters of the regular Korean face."""
    font = font_files()[0].read_bytes()
    tables = _tables(font)
    (units_per_em,) = struct.unpack_from(">H", font, tables[b"head"] + 18)
    (count,) = struct.unpack_from(">H", font, tables[b"hhea"] + 34)
    widths = struct.unpack_from(">" + "Hh" * count, font, tables[b"hmtx"])[::2]
    return {
        first + index: widths[min(glyph + index, count - 1)] / units_per_em
        for at in _unicode_tables(font)
        if struct.unpack_from(">H", font, at) == (_GROUPS,)
        for first, last, glyph in _groups(font, at)
        for index in range(last - first + 1)
    }


def character_map(font: bytes) -> set[int]:
    """Return the code points of an OpenType font, from its tables of formats 4 and 12."""
    points: set[int] = set()
    for at in _unicode_tables(font):
        points |= _code_points(font, at)
    return points


def _tables(font: bytes) -> dict[bytes, int]:
    (count,) = struct.unpack_from(">H", font, 4)
    return {
        font[at : at + 4]: struct.unpack_from(">I", font, at + 8)[0]
        for at in range(12, 12 + 16 * count, 16)
    }


def _unicode_tables(font: bytes) -> Iterator[int]:
    """Give where the tables begin that lead from code points to glyphs."""
    start = _tables(font)[b"cmap"]
    (encodings,) = struct.unpack_from(">H", font, start + 2)
    for number in range(encodings):
        platform, encoding, offset = struct.unpack_from(">HHI", font, start + 4 + 8 * number)
        if (platform, encoding) in _UNICODE_TABLES:
            yield start + offset


def _groups(font: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Give first and last code point and first glyph of a table's groups."""
    (count,) = struct.unpack_from(">I", font, at + 12)
    return struct.iter_unpack(">III", font[at + 16 : at + 16 + 12 * count])


def _code_points(font: bytes, at: int) -> set[int]:
    (table_format,) = struct.unpack_from(">H", font, at)
    points: set[int] = set()
    if table_format == _GROUPS:
        for first, last, _glyph in _groups(font, at):
            points.update(range(first, last + 1))
    elif table_format == _SEGMENTS:
        (doubled,) = struct.unpack_from(">H", font, at + 6)
        lasts = struct.unpack_from(f">{doubled // 2}H", font, at + 14)
        firsts = struct.unpack_from(f">{doubled // 2}H", font, at + 16 + doubled)
        for first, last in zip(firsts, lasts, strict=True):
            points.update(range(first, last + 1))
        points.discard(0xFFFF)
    return points
