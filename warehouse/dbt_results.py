"""What dbt said of its nodes: from its run_results.json into the ledger."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from warehouse.ledger import Run, tell_patiently, to_json

# dbt copies such variables into its results: these are of this run, and not of another dbt that
# wrote into the same folder.
MARK_ENVIRONMENT = "DBT_ENV_CUSTOM_ENV_SEEDTEST_MARK"
_MARK = "SEEDTEST_MARK"
MESSAGE_MAX_CHARACTERS = 1000
FAILURES_KEPT = 20
SLOWEST_KEPT = 5
_BAD = ("error", "fail", "runtime error", "skipped", "partial success")
_WRITING = ("model", "snapshot", "seed")


@dataclass(frozen=True)
class NodeResult:
    """What became of a node; `row_count` is what a model wrote or a test found failing."""

    node: str
    resource_type: str
    status: str
    seconds: float
    row_count: int | None
    message: str | None


@dataclass(frozen=True)
class DbtResults:
    """What became of a run of dbt."""

    dbt_version: str | None
    invocation_id: str | None
    nodes: tuple[NodeResult, ...]

    @property
    def failures(self) -> list[str]:
        """The nodes that failed, each with its reason; those that failed before those skipped."""
        bad = [node for node in self.nodes if node.status in _BAD]
        bad.sort(key=lambda node: node.status == "skipped")
        return [f"{node.node}: {node.message or node.status}"[:300] for node in bad]

    @property
    def rows_written(self) -> int:
        """Rows that models and snapshots wrote; views write none."""
        return sum(node.row_count or 0 for node in self.nodes if node.resource_type in _WRITING)


def read_results(path: Path, mark: str) -> DbtResults | None:
    """Read the results that bear this mark; None when dbt did not come so far as to write any."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    metadata = content.get("metadata", {})
    if metadata.get("env", {}).get(_MARK) != mark:
        return None
    return DbtResults(
        metadata.get("dbt_version"),
        metadata.get("invocation_id"),
        tuple(_node(result) for result in content.get("results", [])),
    )


def _node(result: dict[str, Any]) -> NodeResult:
    name = str(result["unique_id"])
    resource_type = name.partition(".")[0]
    if resource_type in _WRITING:
        rows = (result.get("adapter_response") or {}).get("rows_affected")
        # Of a view, PostgreSQL says -1.
        rows = rows if isinstance(rows, int) and rows >= 0 else None
    else:
        rows = result.get("failures")
    message = " ".join(str(result.get("message") or "").split())
    return NodeResult(
        node=name,
        resource_type=resource_type,
        status=str(result["status"]),
        seconds=float(result.get("execution_time") or 0.0),
        row_count=rows,
        message=message[:MESSAGE_MAX_CHARACTERS] or None,
    )


def note_results(run: Run, results: DbtResults) -> None:
    """Put the sum of the results into the run's row."""
    run.versions["dbt"] = results.dbt_version
    slowest = sorted(results.nodes, key=lambda node: -node.seconds)[:SLOWEST_KEPT]
    run.details["dbt"] = {
        "invocation_id": results.invocation_id,
        "statuses": dict(Counter(node.status for node in results.nodes)),
        "slowest_seconds": {node.node: round(node.seconds, 2) for node in slowest},
    }
    if results.failures:
        run.details["failures"] = results.failures[:FAILURES_KEPT]
    run.row_count = results.rows_written


def load_results(engine: Engine, run_id: int, nodes: Sequence[NodeResult]) -> None:
    """Write one row a node into ops.dbt_results, once the server answers."""
    statement = sa.text(
        """
        insert into ops.dbt_results
            (run_id, node, resource_type, status, seconds, row_count, message)
        select :run_id, node, resource_type, status, seconds, row_count, message
        from jsonb_to_recordset(cast(:nodes as jsonb)) as nodes (
            node text,
            resource_type text,
            status text,
            seconds double precision,
            row_count bigint,
            message text
        )
        """
    )
    rows = to_json([asdict(node) for node in nodes])
    tell_patiently(engine, statement, {"run_id": run_id, "nodes": rows})
