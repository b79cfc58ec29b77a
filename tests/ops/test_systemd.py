"""The units keep the schedule, say what systemd understands, and run the steps in order."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.ops.manifests import of_kind
from tests.ops.units import CHECKOUT, FOLDER, Unit, chain, read_unit
from warehouse.schedule import JOBS, Job

PYTHON = f"{CHECKOUT}/.venv/bin/python"
LOGINS = {"dbt": "dbt", "irt": "irt", "report": "reports"}
DAYS = {"*": "", "0": "Sun ", "1": "Mon "}
# Where the CronJob has another name than the timer.
CRONJOBS = {"seedtest-retain.timer": "retain-weekly"}
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


def _started(timer: Unit) -> str:
    """The unit that a timer starts: by default the one of its own name."""
    (unit,) = timer.all("Timer", "Unit") or [timer.name.replace(".timer", ".service")]
    return unit


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_timer_runs_the_steps_of_its_job_in_order(job: Job) -> None:
    timer = read_unit(f"seedtest-{job.name}.timer")
    minute, hour, _, _, day = job.cron.split()
    when = f"{DAYS[day]}*-*-* {int(hour):02d}:{int(minute):02d}:00 UTC"
    assert timer.one("Timer", "OnCalendar") == when
    units = chain(timer.one("Timer", "Unit"))
    assert [unit.name for unit in units] == [f"seedtest-{step.name}.service" for step in job.steps]
    for unit, step in zip(units, job.steps, strict=True):
        assert unit.commands[-1] == [PYTHON, *step.command]
        assert unit.login == LOGINS[step.image]
        assert unit.one("Service", "Type") == "oneshot"
        assert unit.one("Service", "TimeoutStartSec") == f"{job.deadline.total_seconds():.0f}"
        # Requires alone would start both at once.
        assert unit.all("Unit", "After") == unit.requires


def test_a_job_of_one_unit_is_tried_again_as_often_as_on_a_cluster() -> None:
    cronjobs = of_kind("production", "CronJob")
    timers = [read_unit(path.name) for path in sorted(FOLDER.glob("*.timer"))]
    tried_again = 0
    for timer in timers:
        units = chain(_started(timer))
        if len(units) > 1:
            # Those after a unit that fails fail with it, even if it is tried again.
            assert [one.all("Service", "Restart") for one in units] == [[]] * len(units)
            continue
        (unit,) = units
        job = cronjobs[CRONJOBS.get(timer.name, timer.name.removesuffix(".timer")[9:])]
        tries = job["spec"]["jobTemplate"]["spec"]["backoffLimit"] + 1
        assert unit.one("Service", "Restart") == "on-failure"
        assert unit.one("Service", "RestartPreventExitStatus") == "2"
        assert unit.one("Unit", "StartLimitBurst") == str(tries)
        pause, deadline, interval = (
            int(unit.one(section, name))
            for section, name in (
                ("Service", "RestartSec"),
                ("Service", "TimeoutStartSec"),
                ("Unit", "StartLimitIntervalSec"),
            )
        )
        # All tries count, and none of the day before does.
        assert tries * (deadline + pause) < interval < 24 * 60 * 60
        tried_again += 1
    assert tried_again == 4


def test_every_timer_is_of_the_schedule_and_waits_for_the_schema() -> None:
    timers = {path.stem for path in FOLDER.glob("*.timer")}
    assert timers == {f"seedtest-{job.name}" for job in JOBS} | {"seedtest-retain"}
    for name in sorted(timers):
        first = chain(_started(read_unit(f"{name}.timer")))[0]
        assert first.commands[0][1:4] == ["-m", "warehouse", "wait"]


@needs_systemd
def test_systemd_understands_every_unit(tmp_path: Path) -> None:
    # Users and programs of an installation are not here; everything else is.
    for path in FOLDER.rglob("*"):
        if path.is_file():
            target = tmp_path / path.relative_to(FOLDER)
            target.parent.mkdir(exist_ok=True)
            text = path.read_text().replace(PYTHON, "/bin/true").replace(CHECKOUT, str(tmp_path))
            target.write_text(re.sub(r"(?m)^(User|Group)=.*\n", "", text))
    units = sorted(str(path) for path in tmp_path.glob("seedtest-*.*") if path.is_file())
    done = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", *units],
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "Dependency After=" not in line]
    assert (done.returncode, said) == (0, [])


@needs_systemd
@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.timer")))
def test_systemd_understands_when(name: str) -> None:
    when = read_unit(name).one("Timer", "OnCalendar")
    done = subprocess.run(
        [str(ANALYZE), "calendar", "--base-time=2026-05-06 00:00:00 UTC", when],
        capture_output=True,
        text=True,
        check=True,
    )
    hour = when.split()[-2]
    assert f"{hour} UTC" in done.stdout
