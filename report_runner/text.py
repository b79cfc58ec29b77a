"""User text: made safe to read, and joined to Korean particles.

Escaping is the renderer's business (`report_runner.render`); here text only loses what no
reader can see and what would change the text around it.
"""

import re
import unicodedata

# What no reader sees: controls (but white space), surrogates, private use, noncharacters,
# zero-width and bidirectional marks. The joiner U+200D stays, emoji are built with it.
_UNSEEN = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200c\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ud800-\uf8ff\ufdd0-\ufdef\ufeff\uffa0\ufff9-\uffff"
    "\U000e0000-\U000e00ff\U000f0000-\U0010ffff"
)
_INVISIBLE = re.compile(f"[{_UNSEEN}]")
_SPACES = re.compile(r"\s+")
_UNTIDY = re.compile(rf"[{_UNSEEN}]|[^\S ]|  |^ | $")

_HANGUL_FIRST, _HANGUL_LAST, _FINALS = 0xAC00, 0xD7A3, 28
_RIEUL = 8
# How a digit or a letter at the end of a name is read: its final consonant, 0 without one.
_DIGIT_FINALS = dict(zip("0123456789", (21, 8, 0, 16, 0, 0, 1, 8, 8, 0), strict=True))
_LETTER_FINALS = {"l": _RIEUL, "m": 16, "n": 4, "r": _RIEUL}

# particle -> (after a final consonant, after a vowel, when the reading is not known)
_PARTICLES = {
    "은는": ("은", "는", "은(는)"),
    "이가": ("이", "가", "이(가)"),
    "을를": ("을", "를", "을(를)"),
    "과와": ("과", "와", "와(과)"),
    "으로": ("으로", "로", "(으)로"),
}


def clean_text(value: str) -> str:
    """Return `value` as one line of visible text.

    Canonically composed; control, bidirectional, zero-width, and private-use characters
    are dropped, runs of white space become one space. Idempotent.
    """
    if not _UNTIDY.search(value) and unicodedata.is_normalized("NFC", value):
        return value
    visible = unicodedata.normalize("NFC", _INVISIBLE.sub("", value))
    return _SPACES.sub(" ", visible).strip()


def shorten(value: str, width: float) -> str:
    """Return `value` cut to about `width` ems, ending in an ellipsis where it was cut."""
    if len(value) <= width:
        return value  # no character is wider than an em
    used = 0.0
    for index, character in enumerate(value):
        used += character_width(character)
        if used > width:
            return value[: max(1, index - 1)].rstrip() + "…"
    return value


def character_width(character: str) -> float:
    """Return the approximate width of one character in ems of a sans-serif face."""
    if unicodedata.combining(character):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    if character in "MW@%—…":
        return 1.0
    return 0.72 if character.isupper() or character == "m" else 0.56


def final_consonant(value: str) -> int | None:
    """Return the final consonant of how `value` is read aloud in Korean.

    0 is none, 8 is ㄹ, other numbers are the position in Unicode's list; null when the
    reading is not known (a word in lower-case Latin letters, another script).
    """
    spoken = [character for character in value if character.isalnum()]
    if not spoken:
        return None
    last = spoken[-1]
    if _HANGUL_FIRST <= ord(last) <= _HANGUL_LAST:
        return (ord(last) - _HANGUL_FIRST) % _FINALS
    if last in _DIGIT_FINALS:
        return _DIGIT_FINALS[last]
    if last.isascii() and last.isupper():
        return _LETTER_FINALS.get(last.lower(), 0)
    return None


def with_particle(value: str, particle: str) -> str:
    """Return `value` with the form of `particle` ("은는", "을를", …) that follows it."""
    closed, opened, unknown = _PARTICLES[particle]
    final = final_consonant(value)
    if final is None:
        return value + unknown
    if particle == "으로" and final == _RIEUL:
        return value + opened
    return value + (closed if final else opened)


class Noun(str):
    """Text that takes a particle as its format specification: `{topic:을를}`."""

    __slots__ = ()

    def __format__(self, specification: str) -> str:
        """Return the text, followed by its particle when one is named."""
        return with_particle(str(self), specification) if specification else str(self)
