"""Whatever arrives, in whatever order: the rows of one full refresh.

`make verify-incremental SEED=7` lives through the sequence of a seed and prints it; `make
drill` looks for new ones (EXAMPLES=20 for more), and shrinks what fails.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import Database, DatabaseFactory
from tests.dbt.arrival_kinds import KINDS
from tests.dbt.sequences import (
    BUILDS,
    Report,
    Step,
    sequence_of,
    sequence_of_every_kind,
    verify,
)
from tests.dbt_runner import DbtRunner

SEED_LENGTH = int(os.environ.get("LENGTH", "30"))
STEPS = st.lists(
    st.builds(Step, st.sampled_from([*KINDS, *BUILDS]), st.integers(0, 999_999)),
    min_size=4,
    max_size=25,
)

Verify = Callable[[Sequence[Step], int], Report]


@pytest.fixture(scope="session")
def verified(
    new_warehouse: Callable[[], Database], new_database: DatabaseFactory, run_dbt: DbtRunner
) -> Verify:
    """Lives through a sequence in a school of a seed, and compares every row."""

    def run(steps: Sequence[Step], school: int) -> Report:
        return verify(steps, school, new_warehouse, new_database, run_dbt)

    return run


def whatever_arrives(verified: Verify, steps: list[Step], school: int) -> None:
    """An incremental warehouse holds the rows of one full refresh."""
    report = verified(steps, school)
    assert not report.differences, f"school {school}\n{report}"


def test_every_kind_of_arrival_once(verified: Verify) -> None:
    whatever_arrives(verified, sequence_of_every_kind(1478), school=7)


@pytest.mark.drill
@pytest.mark.long
@pytest.mark.timeout(7200)
@settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=int(os.environ.get("EXAMPLES", "2")),
    phases=[Phase.generate, Phase.shrink],
    print_blob=True,
)
@given(steps=STEPS, school=st.integers(0, 99))
def test_random_sequences(verified: Verify, steps: list[Step], school: int) -> None:
    whatever_arrives(verified, steps, school)


@pytest.mark.skipif("SEED" not in os.environ, reason="needs a seed: make verify-incremental SEED=7")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [int(seed) for seed in os.environ.get("SEED", "0").split(",")])
def test_the_sequence_of_a_seed(verified: Verify, seed: int) -> None:
    report = verified(sequence_of(seed, SEED_LENGTH), seed)
    sys.stdout.write(f"\nseed {seed}, {SEED_LENGTH} steps\n{report}\n")
    assert not report.differences
