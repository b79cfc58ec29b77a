"""The CronJobs are the schedule: names, times, order, and commands that exist."""

import importlib
from datetime import UTC, datetime, timedelta

import pytest
from croniter import croniter

from tests.ops.manifests import NAMES, PROXY, Pod, of_kind, pods
from warehouse.ledger import INVOCATION_ENVIRONMENT
from warehouse.night_commands import WRAPPING
from warehouse.schedule import JOBS, Job


def _pod(overlay: str, owner: str) -> Pod:
    return next(pod for pod in pods(overlay) if pod.owner == owner)


# Beside the nights: nothing is built, and nothing waits for it.
HOUSEKEEPING = {"retain-weekly": "30 6 * * 3"}


@pytest.mark.parametrize("overlay", NAMES)
def test_there_is_one_cronjob_for_each_job_of_the_schedule(overlay: str) -> None:
    cronjobs = of_kind(overlay, "CronJob")
    expected = {job.name: job.cron for job in JOBS} | HOUSEKEEPING
    assert {name: one["spec"]["schedule"] for name, one in cronjobs.items()} == expected
    for one in cronjobs.values():
        spec = one["spec"]
        assert spec["timeZone"] == "Etc/UTC"
        assert spec["concurrencyPolicy"] == "Forbid"
        assert croniter.is_valid(spec["schedule"])
        assert not spec.get("suspend", False)


@pytest.mark.parametrize("overlay", NAMES)
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_pod_takes_the_steps_in_their_order(overlay: str, job: Job) -> None:
    wait, *steps = _pod(overlay, job.name).steps
    assert wait["args"][:2] == ["warehouse", "wait"]
    assert [step["name"] for step in steps] == [step.name for step in job.steps]
    for container, step in zip(steps, job.steps, strict=True):
        image = container["image"].rpartition(":")[0].rpartition("/")[2]
        assert image == step.image
        command = [step.module, *step.arguments]
        if step.dbt:
            command += ["--", *step.dbt]
            assert container["args"] == command
        else:
            assert container["args"][: len(command)] == command


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_job_ends_in_time_for_the_next_and_is_tried_again(job: Job) -> None:
    spec = of_kind("production", "CronJob")[job.name]["spec"]
    template = spec["jobTemplate"]["spec"]
    assert template["activeDeadlineSeconds"] == job.deadline.total_seconds()
    first = croniter(job.cron, datetime(2026, 1, 1, tzinfo=UTC)).get_next(datetime)
    interval = croniter(job.cron, first).get_next(datetime) - first
    late = timedelta(seconds=spec["startingDeadlineSeconds"])
    assert late + job.deadline < interval
    assert template["backoffLimit"] >= 1
    assert template["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize("name", [*(job.name for job in JOBS), *HOUSEKEEPING])
def test_every_step_and_try_of_a_job_has_its_name_in_the_ledger(name: str) -> None:
    for container in _pod("production", name).steps:
        told = {entry["name"]: entry for entry in container["env"]}
        reference = told[INVOCATION_ENVIRONMENT]["valueFrom"]["fieldRef"]
        assert reference["fieldPath"] == "metadata.labels['batch.kubernetes.io/job-name']"


def test_the_database_proxy_is_there_first_and_ends_with_the_job() -> None:
    for pod in pods("production"):
        proxy = pod.spec["initContainers"][0]
        assert (proxy["name"], proxy["restartPolicy"]) == (PROXY, "Always")
        # The init containers after it wait for this.
        assert proxy["startupProbe"]["httpGet"]["path"] == "/startup"
        others = pod.containers[1:]
        assert all("restartPolicy" not in one for one in others)
    assert all(PROXY not in [one["name"] for one in pod.containers] for pod in pods("staging"))


def test_every_command_is_one_that_its_program_knows() -> None:
    commands = [step["args"] for pod in pods("production") for step in pod.steps]
    assert {command[0] for command in commands} == {"warehouse", "irt_service", "report_runner"}
    for module, *arguments in commands:
        cli = importlib.import_module(f"{module}.cli")
        # What follows is dbt's; the schedule is where its selection is tested.
        ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
        # argparse ends the process at what it does not know.
        assert cli._parser().parse_args(ours)
        assert "--" not in arguments or arguments[0] in WRAPPING


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_whoever_is_told_of_the_bucket_may_use_it(overlay: str) -> None:
    told = 0
    for pod in pods(overlay):
        for one in pod.steps:
            settings = [entry["configMapRef"]["name"] for entry in one.get("envFrom", [])]
            names = {entry["name"] for entry in one["env"]}
            keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
            token = {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"}
            if "report-config" in settings:
                told += 1
                assert names >= (keys if overlay == "staging" else token), one["name"]
                assert pod.labels["seedtest/reaches-s3"] == "true"
            else:
                assert not names & (keys | token)
    assert told == 5
