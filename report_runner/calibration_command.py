"""The command `calibration`: the report of one run, for psychometricians."""

import argparse

from report_runner.calibration import build_calibration_report
from report_runner.calibration_queries import read_calibration
from report_runner.calibration_wording import say_calibration
from report_runner.catalogue import language
from report_runner.console import tell
from report_runner.errors import ReportError
from report_runner.places import read_place
from report_runner.single import write_report
from report_runner.store import open_store, safe_id
from warehouse.database import create_engine
from warehouse.ledger import step
from warehouse.schema import require_current

STEP = "generate-calibration-report"


def write_calibration(options: argparse.Namespace) -> int:
    """Write the report of a run, by default the latest accepted one; return 0."""
    engine = create_engine()
    require_current(engine)
    place = read_place(out=options.out)
    store = open_store(place)
    with engine.connect() as connection:
        record = read_calibration(connection, options.run_id)
    if record is None:
        if options.run_id:
            raise ReportError(f"no run {options.run_id!r}: `python -m irt_service runs` lists them")
        tell("No accepted calibration: nothing to do. `make irt-calibrate` makes one.")
        return 0
    words = language(options.language[0])
    run_id, fitted_at = str(record.run["run_id"]), record.run["fitted_at"]
    day = (fitted_at or record.run["started_at"]).date()
    with step(engine, STEP, lock=STEP, as_of_date=day) as run:
        report = say_calibration(build_calibration_report(record), words)
        key = f"calibrations/{safe_id(run_id)}"
        written = write_report(
            store, "calibration_report", words.code, options.format, key, day, report
        )
        run.row_count = len(written)
        run.details.update(run_id=run_id, place=str(place))
    tell(f"Open {store.location(written[0])}")
    return 0
