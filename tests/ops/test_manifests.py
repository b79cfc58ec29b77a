"""Every object that an overlay builds is valid, safe, and refers to what exists."""

from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.conftest import ROOT
from tests.ops.manifests import NAMES, NAMESPACE, Object, Pod, build, of_kind, pods

# Kinds of other projects: their schemas are not in Kubernetes.
CUSTOM = {"ExternalSecret", "PrometheusRule", "ServiceMonitor"}
CLUSTER_WIDE = {"Namespace", "PriorityClass"}
# Made by hand where there is no external store; docs/operations.md says how.
SECRETS = {
    "database-dbt": {"DATABASE_URL"},
    "database-irt": {"DATABASE_URL"},
    "database-metrics": {"DATABASE_URL"},
    "database-owner": {"DATABASE_URL"},
    "database-report": {"DATABASE_URL"},
    "irt-service": {"link_key"},
    "r-irt-credentials": {"token", "base_url"},
}

pytestmark = pytest.mark.parametrize("overlay", NAMES)


def test_objects_fit_their_schemas(overlay: str) -> None:
    # The oldest version that the manifests are for, and for one overlay the newest known.
    for version in ("1.30", "1.37") if overlay == "production" else ("1.30",):
        for one in build(overlay):
            if one["kind"] not in CUSTOM:
                kubernetes_validate.validate(one, version, strict=True)


def test_names_are_unique_and_in_the_namespace(overlay: str) -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in build(overlay)]
    assert len(names) == len(set(names))
    for one in build(overlay):
        expected = None if one["kind"] in CLUSTER_WIDE else NAMESPACE
        assert one["metadata"].get("namespace") == expected


def test_containers_have_no_more_rights_than_they_need(overlay: str) -> None:
    for pod in pods(overlay):
        security = pod.spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] >= 10000
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod.spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys()
        for one in pod.containers:
            assert one["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            for kind in ("requests", "limits"):
                assert set(one["resources"][kind]) >= {"cpu", "memory"}


def test_volumes_are_there_and_used(overlay: str) -> None:
    for pod in pods(overlay):
        volumes = {one["name"]: one for one in pod.spec["volumes"]}
        mounted = {mount["name"] for one in pod.containers for mount in one.get("volumeMounts", [])}
        assert mounted == set(volumes)
        assert all("hostPath" not in one for one in volumes.values())
        for volume in volumes.values():
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"]
            claim = volume.get("persistentVolumeClaim")
            assert claim is None or claim["claimName"] in of_kind(overlay, "PersistentVolumeClaim")
            # Those that have to be there are read as variables, which a test below looks for.
            assert "secret" not in volume or volume["secret"]["optional"] is True
        for one in pod.steps:
            paths = {mount["mountPath"] for mount in one["volumeMounts"]}
            assert {"/scratch", "/etc/database-ca"} <= paths


def _references(value: Any, key: str) -> Iterator[Object]:
    """Yield what stands under `key` anywhere in a value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from _references(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner, key)


def _secret_keys(overlay: str) -> dict[str, set[str]]:
    made = of_kind(overlay, "ExternalSecret")
    if not made:
        return SECRETS
    return {
        one["spec"]["target"]["name"]: {entry["secretKey"] for entry in one["spec"]["data"]}
        for one in made.values()
    }


def test_every_secret_that_is_read_is_made(overlay: str) -> None:
    keys = _secret_keys(overlay)
    read = [ref for pod in pods(overlay) for ref in _references(pod.spec, "secretKeyRef")]
    assert {ref["name"] for ref in read} == set(keys)
    for ref in read:
        assert ref["key"] in keys[ref["name"]]
    assert not [pod for pod in pods(overlay) if list(_references(pod.spec, "secretRef"))]


def test_secrets_come_from_one_kind_of_store(overlay: str) -> None:
    external = of_kind(overlay, "ExternalSecret").values()
    stores = {tuple(sorted(one["spec"]["secretStoreRef"].items())) for one in external}
    assert stores <= {(("kind", "ClusterSecretStore"), ("name", "seedtest"))}
    assert set(_secret_keys(overlay)) >= set(SECRETS)
    assert "Secret" not in {one["kind"] for one in build(overlay)}


def test_every_configmap_that_is_read_is_made(overlay: str) -> None:
    made = of_kind(overlay, "ConfigMap")
    for pod in pods(overlay):
        for ref in _references(pod.spec, "configMapRef"):
            assert ref["name"] in made
        for ref in _references(pod.spec, "configMapKeyRef"):
            assert ref["key"] in made[ref["name"]]["data"]
        for ref in _references(pod.spec, "configMap"):
            assert ref["name"] in made or ref["optional"] is True
    values = [value for one in made.values() for value in one["data"].values()]
    assert "set-by-the-overlay" not in values


def test_accounts_and_priorities_exist(overlay: str) -> None:
    for pod in pods(overlay):
        assert pod.spec["serviceAccountName"] in of_kind(overlay, "ServiceAccount")
        assert pod.spec["priorityClassName"] in of_kind(overlay, "PriorityClass")


def _selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def test_selectors_select_the_pods_that_they_mean(overlay: str) -> None:
    everything = list(pods(overlay))

    def selected(selector: dict[str, str]) -> list[str]:
        return [pod.owner for pod in everything if _selects(selector, pod.labels)]

    for name, one in of_kind(overlay, "Deployment").items():
        assert selected(one["spec"]["selector"]["matchLabels"]) == [name]
        spread = one["spec"]["template"]["spec"].get("topologySpreadConstraints", [])
        for constraint in spread:
            assert selected(constraint["labelSelector"]["matchLabels"]) == [name]
    for name, one in of_kind(overlay, "Service").items():
        assert selected(one["spec"]["selector"]) == [name]
    for name, one in of_kind(overlay, "PodDisruptionBudget").items():
        assert selected(one["spec"]["selector"]["matchLabels"]) == [name]


def _port(pod: Pod, target: int | str) -> int:
    ports = [port for one in pod.containers for port in one.get("ports", [])]
    return next(
        port["containerPort"] for port in ports if target in (port["name"], port["containerPort"])
    )


def test_services_and_probes_name_ports_that_are_open(overlay: str) -> None:
    by_owner = {pod.owner: pod for pod in pods(overlay)}
    ports = {
        name: (port["port"], _port(by_owner[name], port["targetPort"]))
        for name, one in of_kind(overlay, "Service").items()
        for port in one["spec"]["ports"]
    }
    assert ports == {"r-irt-plumber": (80, 8000), "ledger-metrics": (9464, 9464)}
    for pod in by_owner.values():
        for one in pod.containers:
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                for how in ("httpGet", "tcpSocket"):
                    if how in one.get(kind, {}):
                        assert _port(pod, one[kind][how]["port"])


def test_a_server_is_probed_and_a_drained_node_leaves_one(overlay: str) -> None:
    for name, one in of_kind(overlay, "Deployment").items():
        main = one["spec"]["template"]["spec"]["containers"][0]
        assert "livenessProbe" in main, name
        if main.get("ports"):
            assert "readinessProbe" in main, name
    budgets = of_kind(overlay, "PodDisruptionBudget")
    replicas = {
        name: one["spec"]["replicas"] for name, one in of_kind(overlay, "Deployment").items()
    }
    for name, one in budgets.items():
        assert replicas[name] > one["spec"].get("minAvailable", 0)
    if overlay == "local":
        assert not budgets
    else:
        assert set(budgets) == {"r-irt-plumber", "irt-worker"}


def test_images_come_from_one_registry_with_one_tag(overlay: str) -> None:
    ours: set[tuple[str, str]] = set()
    for pod in pods(overlay):
        for one in pod.steps:
            path, _, tag = one["image"].rpartition(":")
            registry, _, role = path.rpartition("/")
            assert (ROOT / "ops" / "images" / f"{role}.Dockerfile").is_file()
            ours.add((registry, tag))
        for one in pod.containers:
            assert one not in pod.steps or "@" not in one["image"]
            assert one in pod.steps or "@sha256:" in one["image"]
            assert not one["image"].endswith(":latest")
    assert len(ours) == 1


def test_replicas_share_the_key_that_signs_links(overlay: str) -> None:
    service = next(pod for pod in pods(overlay) if pod.owner == "r-irt-plumber")
    key = next(one for one in service.spec["containers"][0]["env"] if "LINK_KEY" in one["name"])
    assert key == {
        "name": "IRT_SERVICE_LINK_KEY",
        "valueFrom": {"secretKeyRef": {"name": "irt-service", "key": "link_key"}},
    }


def test_the_namespace_enforces_what_the_pods_keep(overlay: str) -> None:
    labels = of_kind(overlay, "Namespace")[NAMESPACE]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_release_is_named_in_one_file(overlay: str) -> None:
    release = ROOT / "ops" / "cronjobs" / "components" / "release" / "kustomization.yaml"
    images = yaml.safe_load(release.read_text())["images"]
    assert {one["newName"].rpartition("/")[2] for one in images} == {"dbt", "irt", "report"}
    overlay_file = ROOT / "ops" / "cronjobs" / "overlays" / overlay / "kustomization.yaml"
    kustomization = yaml.safe_load(overlay_file.read_text())
    uses_it = "../../components/release" in kustomization.get("components", [])
    assert uses_it == ("images" not in kustomization)
