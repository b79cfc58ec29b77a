"""Samples that several tests read; they are never changed."""

from datetime import date

import pytest

from tests.academy.reading import Response, Sample, first_graded
from warehouse.academy.files import write_sample
from warehouse.academy.options import AcademyOptions

UNTIL = date(2026, 6, 28)


@pytest.fixture(scope="session")
def default_sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Write a sample of the default size."""
    options = AcademyOptions(until=UNTIL)
    out = tmp_path_factory.mktemp("academy")
    return Sample(options, out, write_sample(options, out))


@pytest.fixture(scope="session")
def small_sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Write a small sample with anchors, ending on a Wednesday."""
    options = AcademyOptions(
        until=date(2026, 4, 15), students=60, items=40, days=45, seed=3, anchors=6
    )
    out = tmp_path_factory.mktemp("small_academy")
    return Sample(options, out, write_sample(options, out))


@pytest.fixture(scope="session")
def responses(default_sample: Sample) -> list[Response]:
    """Read the first graded attempts of the default sample."""
    return first_graded(default_sample.out)
