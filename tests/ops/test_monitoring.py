"""Alerts fire when they should and not before, on metrics that exist, with a way to a cure."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from prometheus_client.registry import Collector

from irt_service.api import observability
from irt_service.metrics import REGISTRY, BacklogCollector
from irt_service.store.backlog import MAX_TRIES
from tests.conftest import ROOT, Database
from tests.ops.manifests import NAMESPACE, of_kind, pods
from warehouse.metrics import LedgerCollector

MONITORING = ROOT / "ops" / "monitoring"
RUNBOOK = ROOT / "docs" / "operations.md"
METRIC = re.compile(r"\b(?:seedtest|irt)_\w+")


def _alerts() -> list[dict[str, Any]]:
    content = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
    return [rule for group in content["spec"]["groups"] for rule in group["rules"]]


def _dashboard() -> list[str]:
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def _metrics_used(prefix: str) -> set[str]:
    expressions = [alert["expr"] for alert in _alerts()] + _dashboard()
    used = {name for one in expressions for name in METRIC.findall(one)}
    return {name for name in used if name.startswith(prefix)}


def _exported(*registries: Collector) -> set[str]:
    """Return the names of what is exported, in both forms that queries use."""
    families = [family for registry in registries for family in registry.collect()]
    samples = {sample.name for family in families for sample in family.samples}
    return samples | {family.name for family in families if family.type == "gauge"}


def test_the_service_exports_what_is_asked_of_it(database: Database) -> None:
    backlog = BacklogCollector(database.engine, MAX_TRIES)
    # The labels of a request, so that its counters are there.
    observability.REQUESTS.labels("GET", "/healthz", "200")
    observability.SECONDS.labels("GET", "/healthz")
    assert len(_metrics_used("irt_")) >= 3
    assert _metrics_used("irt_") <= _exported(REGISTRY, backlog)


def test_the_ledger_exports_what_is_asked_of_it(database: Database) -> None:
    with database.engine.begin() as connection:
        for table in (
            "fct_student_weekly_kpis "
            "(student_id text, week_start date, as_of_date date, is_complete boolean)",
            "dim_students (student_id text, report_formats jsonb)",
        ):
            connection.execute(sa.text(f"create table analytics.{table}"))
    assert len(_metrics_used("seedtest_")) >= 12
    assert _metrics_used("seedtest_") <= _exported(LedgerCollector(database.engine))


def test_each_alert_leads_to_its_section_of_the_runbook() -> None:
    anchors = {alert["annotations"]["runbook_url"].partition("#")[2] for alert in _alerts()}
    assert len(anchors) == len(_alerts())
    for alert in _alerts():
        words = re.findall("[A-Z][a-z]+", alert["alert"])
        url = f"https://runbook.example.com/docs/operations.md#{'-'.join(words).lower()}"
        assert alert["annotations"]["runbook_url"] == url
        assert {"summary", "description"} < alert["annotations"].keys()
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert alert["for"]
    assert anchors <= {_anchor(line) for line in RUNBOOK.read_text().splitlines()}


def _anchor(line: str) -> str | None:
    """Return the anchor of a heading, as renderers of Markdown make it."""
    heading = re.fullmatch(r"#{1,6} (.*)", line)
    if heading is None:
        return None
    return re.sub(r"[^\w\- ]", "", heading[1].lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_monitors_select_services_and_name_their_ports(overlay: str) -> None:
    services = of_kind(overlay, "Service")
    for name, monitor in of_kind(overlay, "ServiceMonitor").items():
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        found = [one for one in services.values() if wanted <= one["metadata"]["labels"].items()]
        assert [one["metadata"]["name"] for one in found] == [name]
        ports = {port["name"] for port in found[0]["spec"]["ports"]}
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports
        assert monitor["metadata"]["namespace"] == NAMESPACE
    assert set(of_kind(overlay, "ServiceMonitor")) == {"r-irt-plumber", "ledger-metrics"}
    assert {pod.owner for pod in pods(overlay)} >= set(of_kind(overlay, "ServiceMonitor"))


# What each alert needs to fire: series with their values, and then with others that are well.
# Times: the clock of promtool starts at 0, so an age is what the series says against it.
HOUR = 3600
STEP = '{step="compute-daily-kpis"}'
CASES: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "RunMissed": (
        {
            f"seedtest_step_last_end_timestamp_seconds{STEP}": "0x10000",
            f"seedtest_step_max_age_seconds{STEP}": f"{27 * HOUR}x10000",
        },
        {
            f"seedtest_step_last_end_timestamp_seconds{STEP}": f"{2 * HOUR}x10000",
            f"seedtest_step_max_age_seconds{STEP}": f"{27 * HOUR}x10000",
        },
        "28h",
    ),
    "RunNeverSucceeded": (
        {f"seedtest_step_max_age_seconds{STEP}": f"{27 * HOUR}x10000"},
        {
            f"seedtest_step_max_age_seconds{STEP}": f"{27 * HOUR}x10000",
            f"seedtest_step_last_success_timestamp_seconds{STEP}": "0x10000",
        },
        "25h",
    ),
    "RunFailed": (
        {
            f"seedtest_step_last_succeeded{STEP}": "0x1000",
            f"seedtest_step_running{STEP}": "0x1000",
        },
        {
            f"seedtest_step_last_succeeded{STEP}": "0x1000",
            f"seedtest_step_running{STEP}": "1x1000",
        },
        "1h",
    ),
    "RunWroteNothing": (
        {
            f"seedtest_step_last_rows{STEP}": "0x1000",
            f"seedtest_step_last_succeeded{STEP}": "1x1000",
        },
        {
            f"seedtest_step_last_rows{STEP}": "7x1000",
            f"seedtest_step_last_succeeded{STEP}": "1x1000",
        },
        "1h",
    ),
    "MetricsAbsent": ({"seedtest_ledger_up": "0x1000"}, {"seedtest_ledger_up": "1x1000"}, "1h"),
    "MartStale": (
        {
            'seedtest_mart_last_date_timestamp_seconds{mart="fct_attempts"}': "0x10000",
            'seedtest_mart_last_date_timestamp_seconds{mart="fct_item_fit"}': "0x10000",
        },
        {
            'seedtest_mart_last_date_timestamp_seconds{mart="fct_attempts"}': f"{HOUR}x10000",
            'seedtest_mart_last_date_timestamp_seconds{mart="fct_item_fit"}': "0x10000",
        },
        "60h30m",
    ),
    "ReportsMissing": (
        {"seedtest_reports_missing": "3x10000"},
        {"seedtest_reports_missing": "3x360 0x9000"},
        "9h",
    ),
    "QueueOld": (
        {"seedtest_delivery_oldest_waiting_seconds": "301x1000"},
        {"seedtest_delivery_oldest_waiting_seconds": "300x1000"},
        "1h",
    ),
    "DeliveriesParked": (
        {"seedtest_deliveries_parked": "1x1000"},
        {"seedtest_deliveries_parked": "0x1000"},
        "1h",
    ),
    "CalibrationRejected": (
        {'seedtest_calibration_last_rejected{bank="all"}': "1x1000"},
        {'seedtest_calibration_last_rejected{bank="all"}': "0x1000"},
        "1h",
    ),
    "ItemsDrifted": (
        {'seedtest_items_drifted_severely{bank="all"}': "2x1000"},
        {'seedtest_items_drifted_severely{bank="all"}': "0x1000"},
        "1h",
    ),
    "ServiceDown": (
        {'up{job="r-irt-plumber",pod="a"}': "0x1000"},
        {
            'up{job="r-irt-plumber",pod="a"}': "0x1000",
            'up{job="r-irt-plumber",pod="b"}': "1x1000",
        },
        "1h",
    ),
    "ServiceWithoutDatabase": (
        {'irt_backlog_up{pod="a"}': "0x1000", 'irt_backlog_up{pod="b"}': "0x1000"},
        {'irt_backlog_up{pod="a"}': "0x1000", 'irt_backlog_up{pod="b"}': "1x1000"},
        "1h",
    ),
    "ServiceErrors": (
        {
            'irt_http_requests_total{status="200"}': "0+96x1000",
            'irt_http_requests_total{status="500"}': "0+4x1000",
        },
        {
            'irt_http_requests_total{status="200"}': "0+99x1000",
            'irt_http_requests_total{status="503"}': "0+1x1000",
        },
        "1h",
    ),
    "ServiceSlow": (
        {
            'irt_http_request_seconds_bucket{route="/irt/score",le="0.5"}': "0+98x1000",
            'irt_http_request_seconds_bucket{route="/irt/score",le="1"}': "0+100x1000",
            'irt_http_request_seconds_bucket{route="/irt/score",le="+Inf"}': "0+100x1000",
        },
        {
            'irt_http_request_seconds_bucket{route="/irt/score",le="0.5"}': "0+99x1000",
            'irt_http_request_seconds_bucket{route="/irt/score",le="1"}': "0+100x1000",
            'irt_http_request_seconds_bucket{route="/irt/score",le="+Inf"}': "0+100x1000",
        },
        "1h",
    ),
}


@pytest.fixture
def promtool() -> str:
    """Prometheus's own checker of rules."""
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    return path


def _run(promtool: str, *arguments: str | Path) -> None:
    done = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_rules_and_panels(promtool: str, tmp_path: Path) -> None:
    spec = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["spec"]
    panels = [{"record": f"panel_{at}", "expr": one} for at, one in enumerate(_dashboard())]
    spec["groups"].append({"name": "dashboard", "rules": panels})
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(spec))
    _run(promtool, "check", "rules", "--lint-fatal", rules)


def test_alerts_fire_when_they_should_and_not_before(promtool: str, tmp_path: Path) -> None:
    alerts = {alert["alert"]: alert for alert in _alerts()}
    assert set(CASES) == set(alerts)
    files = []
    for name, (bad, good, at) in CASES.items():
        rules = tmp_path / f"{name}.rules.yaml"
        rules.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": [alerts[name]]}]}))
        content = {
            "rule_files": [rules.name],
            "evaluation_interval": "1m",
            "tests": [_case(name, bad, at, fires=True), _case(name, good, at, fires=False)],
        }
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text(yaml.safe_dump(content))
    _run(promtool, "test", "rules", *files)


def _case(name: str, series: dict[str, str], at: str, *, fires: bool) -> dict[str, Any]:
    expected = {
        "expr": f'count(ALERTS{{alertname="{name}", alertstate="firing"}})',
        "eval_time": at,
        "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
    }
    return {
        "name": f"{name} {'fires' if fires else 'is silent'}",
        "interval": "1m",
        "input_series": [{"series": key, "values": value} for key, value in series.items()],
        "promql_expr_test": [expected],
    }
