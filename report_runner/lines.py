"""Where the lines of a PDF end, and which Korean words need a box to stay whole there.

Typst breaks a line after any syllable, a Korean reader's eye after a word. A box keeps a word
whole, but a hundred of them take a third of a page's time: only words that may lie across the
end of a line get one. A column that is not known here costs time, or at worst a broken word.
"""

import json
import re
from collections.abc import Sequence
from functools import lru_cache

from report_runner.fonts import advances

# Widths of the theme's columns (`report.typ`), in ems of the size that their paragraphs have. A
# score has a chart beside it or not, two cards of our own choice may be one.
_COLUMNS = {
    "masthead": (50.4,),
    "headline": (28.0,),
    "callout-note": (48.4,),
    "panel": (48.6,),
    "aside": (13.6, 48.6),
    "caption": (39.7, 57.2),
    "card": (22.1, 46.8),
    "figure-item": (15.7,),
    "colophon": (63.0,),
    # A table's columns are as wide as what stands in them.
    "row": (),
}
_CARD_BY_COUNT = {1: 46.8, 3: 13.9}
_CARD = 22.1
_SIZES = {"meaning": 0.85, "before": 0.85, "group": 0.85, "label": 0.85, "figure-value": 1.5}
# What kerning and a heavier face may be off, in ems.
_TOLERANCE = 0.6
_WIDEST = 1.0
# What a line of every column holds has no end of a line in it.
SHORT_TEXT = 14

_KOREAN_WORD = re.compile(r"(?=\S{0,11}[가-힣]{2})\S{2,12}")
_HANGUL = re.compile(r"[가-힣]")
_VALUE = re.compile(r"\{\{ ([\w.]+) \}\}")
_CALL = re.compile(r"#r\.([a-z-]+)(?:\([^)\n]*\))?\[")
_STATEMENT = re.compile(r"\{%.*?%\}")
_MARKUP = re.compile(r"[\\#$*_@<>\[\]{}]")
_OPENS = re.compile(r"#?r\.([a-z-]+)(?:\([^)\]]*\))?[(\[]")
_CLOSES = {"]", "],", ")", "),"}


@lru_cache(maxsize=65536)
def width(text: str) -> float:
    """Return the width of `text` in ems."""
    known = advances()
    return sum(known.get(ord(character), _WIDEST) for character in text)


def split_words(text: str, columns: Sequence[float], start: float = 0.0) -> list[tuple[str, bool]]:
    """Return the parts of `text`, and which of them are words to be kept whole.

    `columns` are the widths, in ems of the text's size, that its lines may have, and `start` is
    where it begins on its first line; without columns every Korean word is to be kept.
    """
    words = text.split(" ")
    kept = {index for index, word in enumerate(words) if _KOREAN_WORD.fullmatch(word)}
    if columns:
        kept &= set().union(*(_across(words, column, start) for column in columns))
    parts: list[tuple[str, bool]] = []
    plain = ""
    for index, word in enumerate(words):
        space = " " if index else ""
        if index in kept:
            parts += [(plain + space, False), (word, True)]
            plain = ""
        else:
            plain += space + word
    parts.append((plain, False))
    return [part for part in parts if part[0]]


def _across(words: Sequence[str], column: float, start: float) -> set[int]:
    """Return the words that may lie across the end of a line."""
    found: set[int] = set()
    # Where the word before may have ended: a word at the very end of a line leaves two places.
    ends = {start % column}
    space = width(" ")
    for index, word in enumerate(words):
        size = width(word)
        after: set[float] = set()
        for end in ends:
            last = end + (space if index else 0.0) + size
            if last <= column + _TOLERANCE:
                after.add(last)
            if last > column - _TOLERANCE:
                found.add(index)
                after.add(size)
                if not _KOREAN_WORD.fullmatch(word) and _HANGUL.search(word):
                    # It is broken itself, nobody knows where.
                    return found | set(range(index, len(words)))
        ends = after
    return found


def card_columns(count: int) -> tuple[float]:
    """Return the width of a card of so many, as `cards` in the theme sets them."""
    return (_CARD_BY_COUNT.get(count, _CARD),)


def mark_columns(body: str) -> str:
    """Return a compiled Typst template whose texts know their columns and what is before them.

    Values, and texts of the catalogue that are longer than a line, go through the filter `lines`:
    columns, size, and what stands before them in their paragraph.
    """
    stack: list[str] = []
    marked = []
    for line in body.split("\n"):
        text = line.strip()
        opens = _OPENS.fullmatch(text)
        if text.endswith("(caption: ["):
            stack.append("caption")
        elif text == "])[":
            stack[-1] = "chart"
        elif opens:
            stack.append(opens[1])
        elif text in _CLOSES:
            stack.pop()
        elif text.startswith("{% for ") and stack[-1:] == ["cards"]:
            # The loop around the cards knows how many there are.
            stack[-1] = "counted-cards"
            marked.append(line + "{% set cards = card_columns(loop.length) %}")
            continue
        else:
            marked.append(_mark(line, _columns(stack)))
            continue
        marked.append(line)
    return "\n".join(marked)


def _columns(stack: Sequence[str]) -> str:
    name = next((name for name in reversed(stack) if name in _COLUMNS), "panel")
    if name == "card" and "counted-cards" in stack:
        return "cards"
    return repr(_COLUMNS[name])


def _mark(line: str, columns: str) -> str:
    if not _VALUE.search(line):
        return _mark_static(line, columns)
    before: list[str] = []
    marked, at = "", 0
    for match in _VALUE.finditer(line):
        head = line[at : match.start()]
        # A question stands on lines of its own; what follows begins below it.
        if "#r.content[" in line[:at]:
            before = []
        calls = _CALL.findall(head)
        static = _STATEMENT.sub("", _CALL.sub("", head)).strip(" ];=")
        if static:
            before.append(json.dumps(static, ensure_ascii=False))
        marked += head + _value(match[1], columns, calls[-1] if calls else "", before)
        before.append(match[1])
        at = match.end()
    return marked + line[at:]


def _mark_static(line: str, columns: str) -> str:
    call = _CALL.match(line)
    start, stop = (call.end(), line.rfind("];")) if call else (0, len(line))
    text = line[start:stop]
    # A heading is short, and what pandoc escaped is code.
    if len(text) <= SHORT_TEXT or not _HANGUL.search(text) or _MARKUP.search(text):
        return line
    if line.startswith("="):
        return line
    value = _value(json.dumps(text, ensure_ascii=False), columns, call[1] if call else "", [])
    return line[:start] + value + line[stop:]


def _value(expression: str, columns: str, call: str, before: Sequence[str]) -> str:
    known = before if columns != "()" else []
    arguments = ", ".join([columns, str(_SIZES.get(call, 1.0)), *known])
    return f"{{{{ {expression} | lines({arguments}) }}}}"
