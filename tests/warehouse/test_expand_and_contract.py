"""A migration takes nothing away unless it says so: old and new code run at the same time."""

import inspect
import re
from collections.abc import Iterator

import pytest
from alembic.script import Script

from tests.conftest import ROOT
from warehouse.revisions import CONTRACT, EXAM, EXPAND, WAREHOUSE, kind_of, oldest_code, scripts

SQL = ROOT / "warehouse" / "migrations" / "sql"
ALL = (*scripts(WAREHOUSE), *scripts(EXAM))
# What breaks code that was written before, or holds a table for as long as it takes to read it.
BREAKS = {
    "drops": r"\bdrop (table|column|view|schema|function|sequence|type|constraint|index|default)\b",
    "renames": r"\brename\b",
    "changes a type": r"\balter column \w+ (set data )?type\b",
    "demands a value": r"\bset not null\b",
    "demands a value of old writers": r"\badd column (?!.*\bdefault\b).*\bnot null\b",
    "checks every row under a lock": r"\badd (constraint|check|unique|foreign key|primary key)\b"
    r"(?!.*\bnot valid\b)",
    "empties": r"\btruncate\b",
    "revokes": r"\brevoke\b",
}


def _clauses(text: str) -> Iterator[str]:
    """The parts of a script that stand for themselves, comments and layout taken out."""
    text = re.sub(r"--[^\n]*", "", text.lower())
    text = re.sub(r"'[^']*'", "''", text)
    for statement in text.split(";"):
        flat = " ".join(statement.split())
        yield from (part.strip() for part in re.split(r",(?![^(]*\))", flat))


def faults(text: str) -> list[str]:
    """What a script does that an expanding migration may not."""
    clauses = list(_clauses(text))
    found = [
        f"{name}: {clause[:60]}"
        for clause in clauses
        for name, pattern in BREAKS.items()
        if re.search(pattern, clause)
    ]
    made = set(re.findall(r"create table (?:if not exists )?([\w.]+)", " ; ".join(clauses)))
    for clause in clauses:
        indexed = re.match(r"create (?:unique )?index \w+ on ([\w.]+)", clause)
        if indexed and indexed[1] not in made:
            found.append(f"holds up writers of {indexed[1]}: {clause[:60]}")
    return found


def _files(script: Script) -> list[str]:
    return re.findall(r'run_sql\("([^"]+)"\)', inspect.getsource(script.module))


@pytest.mark.parametrize("script", ALL, ids=lambda script: script.revision)
def test_a_migration_that_expands_takes_nothing_away(script: Script) -> None:
    assert kind_of(script) in (EXPAND, CONTRACT)
    ups = [name for name in _files(script) if not name.endswith("_down.sql")]
    assert ups
    if kind_of(script) == EXPAND:
        found = [fault for name in ups for fault in faults((SQL / name).read_text())]
        assert found == []


@pytest.mark.parametrize("script", ALL, ids=lambda script: script.revision)
def test_a_migration_runs_its_sql_from_files_each_with_its_way_back(script: Script) -> None:
    names = set(_files(script))
    ups = {name for name in names if not name.endswith("_down.sql")}
    assert names - ups == {name.replace(".sql", "_down.sql") for name in ups}
    assert "op." not in (ROOT / script.path).read_text()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("alter table a.b drop column c;", "drops"),
        ("alter table a.b rename column c to d;", "renames"),
        ("alter table a.b alter column c type bigint;", "changes a type"),
        ("alter table a.b alter column c set not null;", "demands a value"),
        ("alter table a.b\nadd column c int,\nadd column d text not null;", "demands a value of"),
        ("alter table a.b add constraint c check (d > 0);", "checks every row"),
        ("create index c on a.b (d);", "holds up writers"),
        ("drop view a.v; create view a.v as select 1;", "drops"),
        ("revoke select on a.b from c;", "revokes"),
    ],
)
def test_what_takes_something_away_is_found(text: str, fault: str) -> None:
    assert [found for found in faults(text) if found.startswith(fault)]


@pytest.mark.parametrize(
    "text",
    [
        "alter table a.b add column c int not null default 0;",
        "alter table a.b add column c text;",
        "create table a.b (c int not null); create index d on a.b (c);",
        "-- drop table a.b;\ncomment on table a.b is 'never rename; drop column';",
        "alter table a.b add constraint c check (d > 0) not valid;",
    ],
)
def test_what_only_adds_is_let_through(text: str) -> None:
    assert faults(text) == []


def test_code_has_to_know_the_last_step_that_took_something_away() -> None:
    steps = list(scripts(WAREHOUSE))
    assert oldest_code(steps) == "0001"
    contracting = [step.revision for step in steps if kind_of(step) == CONTRACT]
    assert contracting == []
