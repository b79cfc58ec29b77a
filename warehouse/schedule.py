"""What runs when: the one table of the schedule.

The CronJobs, the systemd timers, `python -m warehouse dbt STEP`, `status` and `metrics` all
follow it, and tests hold the manifests against it.

A job is a list of steps, each a command with a row of its own in the ledger; a step begins when
the one before it has succeeded. Clocks order nothing: each job builds by itself whatever it
reads (the `+` of its selections), different dbt steps wait for one lock, and what another job
has built already costs next to nothing.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from warehouse.errors import UsageError

DBT_LOCK = "dbt"


@dataclass(frozen=True)
class Step:
    """One command of a job: the name of its row in the ledger, its image, its arguments.

    `dbt` is what dbt is told, in a step that runs dbt.
    """

    name: str
    image: str
    module: str
    arguments: tuple[str, ...]
    dbt: tuple[str, ...] = ()

    @property
    def command(self) -> tuple[str, ...]:
        """What is run after `python`."""
        return ("-m", self.module, *self.arguments)


@dataclass(frozen=True)
class Job:
    """A job: a cron expression in UTC, its steps in order, and how long things may take.

    Attributes:
        name: of the CronJob and the timer.
        cron: minute, hour, day of month, month, day of week (0 is Sunday), in UTC.
        steps: each needs those before it to have succeeded.
        deadline: all steps and tries together are ended after this.
        max_age: of the last success; older is stale. Longer than from one start to the end
            of the next, so that only a missed or failed run can make it stale.
    """

    name: str
    cron: str
    steps: tuple[Step, ...]
    deadline: timedelta
    max_age: timedelta = field(init=False)

    def __post_init__(self) -> None:
        """Allow the interval, the deadline, and an hour for a late start."""
        is_daily = self.cron.endswith("* * *")
        interval = timedelta(days=1 if is_daily else 7)
        object.__setattr__(self, "max_age", interval + self.deadline + timedelta(hours=1))


def _dbt(name: str, *arguments: str) -> Step:
    return Step(name, "dbt", "warehouse", ("dbt", name), arguments)


def _build(name: str, *selection: str) -> Step:
    return _dbt(name, "build", "--select", *selection)


JOBS = (
    Job(
        name="compute-daily-kpis",
        cron="10 2 * * *",
        steps=(
            _build(
                "compute-daily-kpis",
                "+fct_student_daily_kpis",
                "+fct_goal_probability",
                "+fct_prediction_backtest",
                "+fct_rejected_questions",
                "+dim_students",
                "+attempt",
            ),
        ),
        deadline=timedelta(hours=2),
    ),
    Job(
        name="aggregate-features-daily",
        cron="25 2 * * *",
        steps=(
            _build(
                "aggregate-features-daily",
                "+features_topic_daily",
                "+fct_item_statistics",
                "+dim_items",
            ),
        ),
        deadline=timedelta(hours=2),
    ),
    Job(
        name="calibrate-irt-weekly",
        cron="10 3 * * 0",
        steps=(
            _build(
                "prepare-calibration",
                "+fct_item_responses",
                "+fct_sessions",
                "+dim_items",
                "+dim_students",
                # What the last step reads and does not build.
                "@source:irt",
                # What is tested beside that.
                "+fct_rejected_questions",
                "+attempt",
            ),
            # Every row, where a night tests what it wrote: what is published stays published,
            # so that nothing is calibrated from data that fail a test.
            _dbt("test-weekly", "test"),
            Step("irt-calibrate", "irt", "irt_service", ("calibrate",)),
            _build("apply-calibration", "source:irt+"),
        ),
        deadline=timedelta(hours=4),
    ),
    Job(
        name="generate-weekly-report",
        cron="0 4 * * 1",
        steps=(
            _build(
                "prepare-reports",
                "+weekly_kpi",
                "+fct_inactivity_daily",
                "+fct_inactivity_transitions",
                "+fct_goal_probability",
                "+fct_topic_daily_features",
                "+dim_students",
            ),
            Step("generate-weekly-report", "report", "report_runner", ("weekly",)),
            Step("generate-cohort-report", "report", "report_runner", ("cohort",)),
        ),
        deadline=timedelta(hours=6),
    ),
    Job(
        name="detect-inactivity",
        cron="0 5 * * *",
        steps=(
            _build(
                "detect-inactivity",
                "+fct_inactivity_daily",
                "+fct_inactivity_transitions",
            ),
        ),
        deadline=timedelta(hours=2),
    ),
)


def dbt_arguments(step_name: str) -> tuple[str, ...]:
    """Return what dbt is told in this step: `build --select MODEL …`, or `test`.

    Raises UsageError when the schedule has no such dbt step.
    """
    told = {step.name: step.dbt for job in JOBS for step in job.steps if step.dbt}
    if step_name not in told:
        raise UsageError(
            f"{step_name!r} is no dbt step of the schedule: {', '.join(told)}; or say what "
            "to run: python -m warehouse dbt NAME -- build --select MODEL"
        )
    return told[step_name]
