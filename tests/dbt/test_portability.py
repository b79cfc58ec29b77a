"""One engine's constructs stand in dispatched macros: a second one is a folder of macros."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

# The construct, and what to write instead.
CONSTRUCTS = {
    r"->>?|#>>?|@>|jsonb?_\w+ *\(|\s\?\s": "json_get, json_get_text, json_object_entries, …",
    r"percentile_(cont|disc)": "median",
    r"date_trunc|at time zone|\bextract *\(|isodow": "local_date, week_start, seconds_between",
    r"generate_series": "days_series",
    r"\bunnest *\(|array_agg": "array_elements, sorted_array",
    r"\bmd5 *\(|hash_record": "row_hash, combine_hashes",
    r"\b(xmin|xmax|ctid|tableoid)\b": "row_version",
    r"isfinite": "finite",
    r"collate \"C\"": "bytewise",
    r"pg_\w+|hashtext": "a macro of dbt/macros/cross_db",
    r"::": "cast(… as …)",
    r"\bfloat8\b|\bint4\b|\bint8\b": "double precision, integer, bigint",
    r"'infinity'": "end_of_time",
    r"distinct on\b": "row_number() over (…) = 1",
}
# What is left, and why.
EXCEPTIONS = {
    # A snapshot's columns are created by dbt, which has no other way to give them a collation.
    "dbt/snapshots/goal_history.sql": r'collate "C"',
}
MODELS = sorted(
    path
    for folder in ("models", "snapshots", "tests/generic", "tests/integrity")
    for path in ROOT.glob(f"dbt/{folder}/**/*.sql")
)
# Where an engine's own version of a macro may stand.
DISPATCHED = ("cross_db/", "overrides/", "exam_elements.sql")
MACROS = sorted(
    path
    for path in ROOT.glob("dbt/macros/**/*.sql")
    if not str(path.relative_to(ROOT / "dbt/macros")).startswith(DISPATCHED)
)


def written_sql(path: Path) -> str:
    """A model's own SQL, without comments and calls of macros."""
    text = re.sub(r"\{#.*?#\}|\{\{.*?\}\}|\{%.*?%\}", "", path.read_text(), flags=re.DOTALL)
    return re.sub(r"--.*", "", text)


def constructs(sql: str) -> dict[str, str]:
    """What one engine alone understands, and what to write instead."""
    return {
        match.group(): instead
        for construct, instead in CONSTRUCTS.items()
        for match in re.finditer(construct, sql, re.IGNORECASE)
    }


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_model_leaves_the_engine_to_macros(path: Path) -> None:
    sql = written_sql(path)
    allowed = EXCEPTIONS.get(str(path.relative_to(ROOT)))
    if allowed is not None:
        assert re.search(allowed, sql)
        sql = re.sub(allowed, "", sql)
    assert constructs(sql) == {}


# Here SQL stands in calls, too.
@pytest.mark.parametrize("path", MACROS, ids=lambda path: path.stem)
def test_a_macro_leaves_the_engine_to_dispatched_ones(path: Path) -> None:
    sql = re.sub(r"\{#.*?#\}|--.*?$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert constructs(sql) == {}


def test_every_version_of_one_engine_is_dispatched() -> None:
    text = "\n".join(path.read_text() for path in ROOT.glob("dbt/macros/**/*.sql"))
    versions = set(re.findall(r"macro (?:postgres|default)__(\w+)", text))
    dispatched = set(re.findall(r"adapter\.dispatch\('(\w+)'\)", text))
    # These stand in for dbt's own, which dispatches them.
    assert versions - dispatched == {"create_table_as", "create_indexes", "snapshot_get_time"}
    assert dispatched <= versions
