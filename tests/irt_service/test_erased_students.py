"""Students who were erased are left out, though the marts still hold them."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from irt_service.api.authentication import LOCAL
from irt_service.api.errors import ApiError
from irt_service.api.service import require_student
from irt_service.replay import replay
from irt_service.scorer import Scorer
from irt_service.settings import Settings
from irt_service.store import completeness, publications, requested_runs
from irt_service.store.responses import Bank, read_bank_items, read_responses
from tests.conftest import Database
from tests.irt_service.school import (
    DAY_ONE,
    build,
    deliver_school,
    open_school,
    publish_parameters,
    scalar,
)

ITEMS = {f"q_{j}": (0.8 + 0.1 * j, -1.1 + 0.2 * j, 0.0) for j in range(12)}
GONE = "student_7"


@pytest.fixture
def school(database: Database) -> Engine:
    """Ten students whose marts are built and whose run is in force; one is erased."""
    open_school(database.engine)
    deliver_school(database.engine, n_students=10)
    build(database.engine)
    publish_parameters(database.engine, "run_1", ITEMS)
    with database.engine.begin() as connection:
        connection.execute(
            sa.text("insert into ops.erased_students (student_id) values (:gone)"), {"gone": GONE}
        )
    return database.engine


def _abilities(engine: Engine) -> object:
    return scalar(engine, "select count(*) from irt.mirt_ability")


def _named(engine: Engine) -> object:
    return scalar(engine, f"select count(*) from irt.deliveries where user_id = '{GONE}'")  # noqa: S608 - a constant


def test_a_replay_scores_everybody_else(school: Engine) -> None:
    replay(school, Scorer(Settings()))
    assert (_abilities(school), _named(school)) == (27, 0)
    # Whoever asks for the student by name is told nothing else.
    assert replay(school, Scorer(Settings()), [GONE]).abilities == 0


def test_a_run_without_their_abilities_is_complete(school: Engine) -> None:
    scorer = Scorer(Settings())
    with school.begin() as connection:
        wanted = scorer.demands(publications.read_spans(connection))
        missing = completeness.read_missing(connection, wanted, Settings())
    assert len(missing) == 27
    assert GONE not in {one.student_id for one in missing}


def test_a_calibration_reads_everybody_else(school: Engine) -> None:
    with school.connect() as connection:
        bank = Bank.parse("all").without_erased(connection)
        end = DAY_ONE + timedelta(days=100)
        items = read_bank_items(connection, bank, DAY_ONE, end)
        responses = read_responses(connection, bank, DAY_ONE, end, items.answered)
    assert len(responses.person_ids) == 9
    assert GONE not in responses.person_ids


def test_the_service_knows_no_such_student_and_answers_without_them(school: Engine) -> None:
    with school.begin() as connection:
        require_student(connection, LOCAL, "student_8")
        with pytest.raises(ApiError, match="not_found"):
            require_student(connection, LOCAL, GONE)
        requested_runs.start(connection, "asked", None)
        abilities = [{"user_id": GONE, "theta": 1.0}, {"user_id": "student_8", "theta": 0.0}]
        requested_runs.succeed(connection, "asked", {"abilities": abilities})
    kept = scalar(school, "select result::text from irt.requested_runs")
    assert kept == '{"abilities": [{"theta": 0.0, "user_id": "student_8"}]}'
