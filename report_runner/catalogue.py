"""The languages of the reports: one TOML file each, numbers and dates by Babel."""

import tomllib
from collections.abc import Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from importlib import resources
from typing import Any

from babel import Locale
from babel.dates import format_date, format_interval
from babel.numbers import get_decimal_symbol, get_group_symbol

from report_runner.errors import ReportError, TemplateError
from report_runner.text import Noun

LANGUAGES = ("ko", "en")

# Beyond this a product with a power of ten may be off by more than the distance to a half.
_HALF, _NEAR_HALF, _EXACT = 0.5, 1e-6, 1e9


def half_up(value: float, places: int = 0) -> int:
    """Return `value` times 10 to the power of `places`, rounded as people round.

    A half goes away from zero, by the decimal number that is written, not by the binary one.
    """
    scaled = abs(value) * 10.0**places
    whole = int(scaled)
    rest = scaled - whole
    if abs(rest - _HALF) < _NEAR_HALF or scaled > _EXACT:
        return int(Decimal(repr(value)).scaleb(places).quantize(Decimal(1), ROUND_HALF_UP))
    rounded = whole + (rest > _HALF)
    return -rounded if value < 0 else rounded


class Language:
    """The messages of one language and the way it writes numbers and dates."""

    def __init__(self, code: str, source: str) -> None:
        """Read the catalogue of `code` from the text of its TOML file."""
        tree = tomllib.loads(source)
        self.code = code
        self.locale = Locale.parse(tree.pop("locale"))
        self.group_sign = get_group_symbol(self.locale)
        self.decimal_sign = get_decimal_symbol(self.locale)
        self.percent_sign = str(self.locale.number_symbols["latn"]["percentSign"])
        self.messages: dict[str, str | Mapping[str, str]] = {}
        self._flatten(tree, "")
        self.number = lru_cache(maxsize=4096)(self._number)
        self.percent = lru_cache(maxsize=1024)(self._percent)
        self.signed = lru_cache(maxsize=4096)(self._signed)
        self.day = lru_cache(maxsize=1024)(self._day)
        self.short_day = lru_cache(maxsize=1024)(self._short_day)
        self.interval = lru_cache(maxsize=64)(self._interval)

    def _flatten(self, tree: Mapping[str, Any], prefix: str) -> None:
        for key, value in tree.items():
            if isinstance(value, str) or set(value) == {"one", "other"}:
                self.messages[prefix + key] = value
            else:
                self._flatten(value, f"{prefix}{key}.")

    def text(self, key: str, /, **values: object) -> str:
        """Return message `key` with its values put in, as plain text.

        Text among the values takes Korean particles; `count` chooses between singular and
        plural. Raises TemplateError for a key or a value the catalogue does not know.
        """
        message = self.messages.get(key)
        if not values and isinstance(message, str) and "{" not in message:
            return message
        if message is None:
            raise TemplateError(f"no message {key!r} in languages/{self.code}.toml")
        if not isinstance(message, str):
            number = int(str(values["count"]).replace(",", ""))
            message = message["one" if self.locale.plural_form(number) == "one" else "other"]
        if ":" in message:
            # A particle follows one of the values.
            values = {
                name: Noun(value) if isinstance(value, str) else value
                for name, value in values.items()
            }
        try:
            return message.format_map(values)
        except (KeyError, ValueError) as error:
            raise TemplateError(
                f"message {key!r} in languages/{self.code}.toml does not fit its values: {error}"
            ) from error

    def _number(self, value: float) -> str:
        return self._grouped(half_up(value))

    def _percent(self, value: float) -> str:
        return self._grouped(half_up(value, places=2)) + self.percent_sign

    def _signed(self, value: float) -> str:
        rounded = half_up(value, places=2)
        sign = "+" if rounded >= 0 else "\N{MINUS SIGN}"
        whole, hundredths = divmod(abs(rounded), 100)
        return f"{sign}{whole}{self.decimal_sign}{hundredths:02d}"

    def _grouped(self, value: int) -> str:
        # Babel's symbols without Babel's parsing of a pattern for every number.
        return f"{value:,}".replace(",", self.group_sign)

    def _day(self, value: date) -> str:
        return format_date(value, "long", locale=self.locale)

    def _short_day(self, value: date) -> str:
        # "6/8" in both languages: Korean's own "6. 8." reads as a decimal beside an axis.
        return f"{value.month}/{value.day}"

    def _interval(self, start: date, end: date) -> str:
        return format_interval(start, end, "yMMMd", locale=self.locale)


@lru_cache
def language(code: str) -> Language:
    """Return the language with this code; ReportError names those there are."""
    if code not in LANGUAGES:
        known = ", ".join(LANGUAGES)
        raise ReportError(f"no language {code!r}; there are: {known}")
    source = resources.files("report_runner") / "languages" / f"{code}.toml"
    return Language(code, source.read_text(encoding="utf-8"))
