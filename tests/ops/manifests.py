"""The manifests as `kubectl kustomize` builds them, and ways to look into them."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

OVERLAYS = ROOT / "ops" / "cronjobs" / "overlays"
NAMES = ("local", "staging", "production")
NAMESPACE = "seedtest"
PROXY = "cloud-sql-proxy"

Object = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """The pods of a workload: its kind and name, and the template's labels and spec."""

    kind: str
    owner: str
    labels: dict[str, str]
    spec: Object

    @property
    def steps(self) -> list[Object]:
        """The containers in the order in which they begin, without the database's proxy."""
        return [one for one in self.containers if one["name"] != PROXY]

    @property
    def containers(self) -> list[Object]:
        """Every container, init containers first."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


@cache
def build(overlay: str) -> list[Object]:
    """Return the objects of an overlay; skip where there is no kubectl to build them."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed: `kubectl kustomize` builds the manifests")
    return _kustomize(kubectl, OVERLAYS / overlay)


def _kustomize(kubectl: str, folder: Path) -> list[Object]:
    done = subprocess.run(
        [kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # What kustomize calls deprecated today does not build tomorrow.
    assert done.stderr == ""
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def of_kind(overlay: str, kind: str) -> dict[str, Object]:
    """Return an overlay's objects of one kind, by name."""
    return {one["metadata"]["name"]: one for one in build(overlay) if one["kind"] == kind}


def pods(overlay: str) -> Iterator[Pod]:
    """Yield what runs: the pods of each Deployment, Job and CronJob."""
    for one in build(overlay):
        spec = one.get("spec", {})
        if one["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        elif one["kind"] not in ("Deployment", "Job"):
            continue
        template = spec["template"]
        yield Pod(
            one["kind"],
            one["metadata"]["name"],
            template["metadata"]["labels"],
            template["spec"],
        )
