"""The native engine against R mirt, run here and now on the same responses."""

import pytest

from irt_service.errors import EngineUnavailableError
from tests.irt_service.mirt_agreement import IN_TEST_RUNS, Case, compare, row

pytestmark = pytest.mark.mirt


@pytest.mark.parametrize("case", IN_TEST_RUNS, ids=str)
def test_both_engines_find_the_same(case: Case) -> None:
    try:
        found = compare(case)
    except EngineUnavailableError as error:
        pytest.skip(str(error))
    assert found.is_within, row(case, found)
