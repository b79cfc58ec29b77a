"""The warehouse's commands: parsing, and printing what the other modules return."""

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DBAPIError

from warehouse import night_commands, overview, schema, status_commands, upkeep_commands
from warehouse.database import create_engine, database_url, describe, require_reachable
from warehouse.errors import UsageError, WarehouseError
from warehouse.ledger import step
from warehouse.loader import LoadResult, load_file, table_named
from warehouse.server import LocalServer
from warehouse.settings import Settings, read_settings
from warehouse.status import read_status
from warehouse.steps import CommandFailedError
from warehouse.tables import TABLES, Table

LOAD_LOCK = "load"
REASONS_SHOWN = 10
_Command = Callable[[argparse.Namespace, Settings], int]


def main(argv: Sequence[str]) -> int:
    """Run a command; return 0 when done, 1 when it failed, 2 on wrong usage."""
    _log_to_stderr()
    try:
        return _run(list(argv))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except WarehouseError as error:
        _say(f"error: {error}")
        if isinstance(error, CommandFailedError):
            return error.code
        return 2 if isinstance(error, UsageError) else 1
    except DBAPIError as error:
        _say(f"error: the database refused: {str(error.orig).strip().splitlines()[0]}")
        return 1
    except KeyboardInterrupt:
        _say("interrupted")
        return 130


def _run(argv: list[str]) -> int:
    settings = read_settings()
    if argv[:1] == ["sample"]:
        # Its options are the academy's.
        return _sample(argv[1:], settings)
    wrapped: list[str] = []
    if argv and argv[0] in night_commands.WRAPPING and "--" in argv:
        split = argv.index("--")
        argv, wrapped = argv[:split], argv[split + 1 :]
    arguments = _parser().parse_args(argv)
    arguments.wrapped = wrapped
    command: _Command = arguments.command
    return command(arguments, settings)


def _start(_: argparse.Namespace, settings: Settings) -> int:
    if settings.database_url is not None:
        require_reachable(create_engine())
        _say(f"DATABASE_URL is set: using {describe(database_url(settings))}, no server started")
        return 0
    started = LocalServer(settings.state).start()
    _print("local PostgreSQL started" if started else "local PostgreSQL is running already")
    return 0


def _stop(_: argparse.Namespace, settings: Settings) -> int:
    stopped = LocalServer(settings.state).stop()
    _print("local PostgreSQL stopped" if stopped else "local PostgreSQL was not running")
    return 0


def _url(_: argparse.Namespace, settings: Settings) -> int:
    _print(database_url(settings).render_as_string(hide_password=False))
    return 0


def _env(_: argparse.Namespace, settings: Settings) -> int:
    url = database_url(settings)
    for name, value in environment_of(url).items():
        _print(f"export {name}={shlex.quote(value)}")
    return 0


def environment_of(url: URL) -> dict[str, str]:
    """Return the variables with which psql and libpq reach the same database."""
    query = {
        name: value if isinstance(value, str) else value[0] for name, value in url.query.items()
    }
    values = {
        "PGHOST": url.host or query.get("host"),
        "PGPORT": str(url.port) if url.port else query.get("port"),
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
        "PGSSLMODE": query.get("sslmode"),
        "PGSSLROOTCERT": query.get("sslrootcert"),
        "PGSSLCERT": query.get("sslcert"),
        "PGSSLKEY": query.get("sslkey"),
    }
    return {name: value for name, value in values.items() if value}


def _migrate(arguments: argparse.Namespace, _: Settings) -> int:
    engine = create_engine(application_name="seedtest-migrate")
    if arguments.down:
        removed = schema.take_back(engine, with_exam=arguments.with_exam)
        _print(f"taken back: {', '.join(removed)}" if removed else "nothing to take back")
        return 0
    applied = schema.migrate(engine, with_exam=arguments.with_exam)
    _print(f"applied: {', '.join(applied)}" if applied else "schema is up to date")
    return 0


def _load(arguments: argparse.Namespace, settings: Settings) -> int:
    table = table_named(arguments.table)
    files: list[Path] = arguments.files
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise UsageError(f"no such file: {', '.join(missing)}")
    if arguments.rejects is not None and len(files) > 1:
        raise UsageError("--rejects names one file and there are several to load")
    engine = _engine("seedtest-load")
    rejected = 0
    for path in files:
        rejects = arguments.rejects or rejects_path(settings, path, table)
        rejected += load_and_report(engine, path, table, rejects).rejected
    if rejected and not arguments.allow_rejects:
        _say("error: some lines were rejected (the others are loaded); --allow-rejects accepts it")
        return 1
    return 0


def rejects_path(settings: Settings, path: Path, table: Table) -> Path:
    """Return where the rejects of a file go unless told otherwise."""
    return settings.state / "rejects" / f"{path.name}.{table.name}.jsonl"


def load_and_report(engine: Engine, path: Path, table: Table, rejects: Path) -> LoadResult:
    """Load a file as a step of the ledger and print what became of its lines."""
    with step(engine, "load", lock=LOAD_LOCK, wait=True) as run:
        result = load_file(engine, path, table, rejects)
        run.row_count = result.accepted
        run.details.update(file=path.name, table=table.name, rejected=result.rejected)
        run.details["reasons"] = result.reasons
    _print(
        f"{table.qualified_name} from {path.name}: {result.lines:,} lines in "
        f"{result.seconds:.1f} s: {result.inserted:,} new, {result.updated:,} changed, "
        f"{result.unchanged:,} unchanged, {result.superseded:,} superseded, "
        f"{result.rejected:,} rejected"
    )
    if result.unknown_columns:
        _say(f"ignored, no such columns: {', '.join(sorted(result.unknown_columns))}")
    if result.rejected:
        for reason, count in sorted(result.reasons.items(), key=lambda item: -item[1])[
            :REASONS_SHOWN
        ]:
            _say(f"  {count:>9,} {reason}")
        _say(f"  rejected lines with their numbers and reasons: {rejects}")
    return result


def _sample(argv: list[str], settings: Settings) -> int:
    # The simulator brings SciPy along, which no other command needs.
    from warehouse.academy import cli as academy  # noqa: PLC0415

    is_loading = "--load" in argv
    only_if_new = "--load-if-new" in argv
    rest = [argument for argument in argv if argument not in ("--load", "--load-if-new")]
    if {"-h", "--help"} & set(rest):
        code = academy.main(rest)
        _print(
            "\n--load           also load the files into the database\n"
            "--load-if-new    do nothing if the database holds results already, or if its exam\n"
            "                 tables are an application's own; else --load"
        )
        return code
    if not (is_loading or only_if_new):
        return academy.main(rest)
    engine = _engine("seedtest-sample")
    # An application's tables may be empty and still be no place for invented students.
    with engine.connect() as connection:
        is_ours = schema.has_exam_migrations(connection)
    if not is_ours:
        text = "the exam tables here are an application's own; no sample loaded"
        if only_if_new:
            _print(text)
            return 0
        raise WarehouseError(f"{text}: use a database made by migrate --with-exam")
    if only_if_new and overview.has_results(engine):
        _print("the database holds exam results already; no sample loaded")
        return 0
    code = academy.main(rest)
    if code != 0:
        return code
    folder = _option(rest, "--out") or academy.DEFAULT_OUT
    # The results last: where they are, everything is.
    for table in sorted(TABLES.values(), key=lambda table: table.name == "exam_results"):
        for path in sorted(folder.glob(f"{table.name}.jsonl*")):
            load_and_report(engine, path, table, rejects_path(settings, path, table))
    return 0


def _option(argv: list[str], name: str) -> Path | None:
    for position, argument in enumerate(argv):
        if argument == name and position + 1 < len(argv):
            return Path(argv[position + 1])
        if argument.startswith(f"{name}="):
            return Path(argument.partition("=")[2])
    return None


def _summary(_: argparse.Namespace, settings: Settings) -> int:
    engine = _engine("seedtest-summary")
    _print("\nrows")
    for name, count in overview.row_counts(engine).items():
        _print(f"  {name:<38}{'not built' if count is None else f'{count:,}':>12}")
    calibration = overview.run_in_force(engine)
    if calibration is None:
        _print("calibration   none in force")
    else:
        likelihood = calibration.log_likelihood
        _print(
            f"calibration   run {calibration.run_id} ({calibration.model}), "
            f"{calibration.n_items} items, {calibration.n_persons} students, log-likelihood "
            f"{'unknown' if likelihood is None else f'{likelihood:,.2f}'}"
        )
    with engine.connect() as connection:
        runs = sorted(read_status(connection), key=lambda run: run.run_id or 0)
    steps = [f"{run.step} {run.seconds:.1f} s" for run in runs if run.seconds is not None]
    _print(f"last runs     {', '.join(steps) or 'none'}")
    _print(f"report        {_report_location(settings, overview.report_to_open(engine))}")
    _print(f"database      {describe(database_url(settings))}")
    _print("documentation make docs")
    return 0


def _report_location(settings: Settings, key: str | None) -> str:
    if key is None:
        return "none yet"
    here = Path(os.environ.get("REPORTS_DIR") or settings.state) / key
    return str(here) if here.exists() else key


def _engine(application_name: str) -> Engine:
    """Return an engine for a database whose schema is ours and current."""
    engine = create_engine(application_name=application_name)
    schema.require_current(engine)
    return engine


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m warehouse",
        description="The local PostgreSQL, its schemas, its data and the run ledger. With "
        "DATABASE_URL set, that database is used and no server is started.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: _Command, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(command=command)
        return made

    add("start", _start, "start the local PostgreSQL, if it does not run")
    add("stop", _stop, "stop the local PostgreSQL")
    add("url", _url, "print the database's address as SQLAlchemy takes it")
    add("env", _env, 'print export lines for psql: eval "$(python -m warehouse env)"')
    migrating = add("migrate", _migrate, "bring the schemas up to date")
    migrating.add_argument(
        "--with-exam", action="store_true", help="also the exam application's tables (local use)"
    )
    migrating.add_argument("--down", action="store_true", help="remove the schemas and their rows")
    loading = add("load", _load, "load JSON lines (plain or gzip), one row of a table a line")
    loading.add_argument("files", nargs="+", type=Path, metavar="FILE")
    loading.add_argument("--table", default="exam_results", help=", ".join(TABLES))
    loading.add_argument("--allow-rejects", action="store_true", help="rejected lines: exit 0")
    loading.add_argument("--rejects", type=Path, metavar="PATH", help="where rejected lines go")
    commands.add_parser("sample", help="write (and --load) a sample academy with known truth")
    night_commands.register(add)
    status_commands.register(add)
    upkeep_commands.register(add)
    add("summary", _summary, "what is there: rows, calibration, times, where to look")
    return parser


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("warehouse")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
