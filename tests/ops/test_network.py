"""The policies admit exactly the callers, on the ports of pods."""

from typing import Any

import pytest

from tests.ops.manifests import NAMES, NAMESPACE, Pod, of_kind, pods
from tests.ops.network import Endpoint, may_connect

CLIENTS = {"kubernetes.io/metadata.name": "exam", "seedtest/irt-clients": "true"}
IS_CLIENT = {"seedtest/irt-client": "true"}
STRANGERS = {"kubernetes.io/metadata.name": "elsewhere"}
MONITORING = {"kubernetes.io/metadata.name": "monitoring"}
PROMETHEUS = {"app.kubernetes.io/name": "prometheus"}

OUTSIDE = (
    Endpoint("client", "exam", CLIENTS, IS_CLIENT),
    Endpoint("pod of the clients' namespace", "exam", CLIENTS),
    Endpoint("pod that calls itself a client", "elsewhere", STRANGERS, IS_CLIENT),
    Endpoint("prometheus", "monitoring", MONITORING, PROMETHEUS),
    Endpoint("pod of monitoring", "monitoring", MONITORING),
    Endpoint("pod that calls itself prometheus", "elsewhere", STRANGERS, PROMETHEUS),
    Endpoint("machine of the network", address="10.1.2.3"),
    Endpoint("internet", address="203.0.113.7"),
)
NAME_SERVER = Endpoint(
    "name server",
    "kube-system",
    {"kubernetes.io/metadata.name": "kube-system"},
    {"k8s-app": "kube-dns"},
)
BUCKET = Endpoint("bucket", address="52.219.60.1")
METADATA = Endpoint("metadata service", address="169.254.169.254")
NEIGHBOUR = Endpoint("another server of the network", address="192.168.7.7")
DATABASES = {"local": "172.18.0.1", "staging": "10.32.0.9", "production": "10.64.0.9"}
TELL_THE_BUCKET = ("generate-weekly-report", "r-irt-plumber", "retain-weekly")
PORTS = (53, 80, 443, 988, 3307, 5432, 8000, 9464, 9801)


def _endpoint(pod: Pod) -> Endpoint:
    ports = {
        port["name"]: port["containerPort"]
        for one in pod.containers
        for port in one.get("ports", [])
    }
    name = {"kubernetes.io/metadata.name": NAMESPACE}
    return Endpoint(pod.owner, NAMESPACE, name, pod.labels, named_ports=ports)


def _policies(overlay: str) -> list[dict[str, Any]]:
    return list(of_kind(overlay, "NetworkPolicy").values())


@pytest.mark.parametrize("overlay", NAMES)
def test_only_clients_and_prometheus_come_in(overlay: str) -> None:
    inside = [_endpoint(pod) for pod in pods(overlay)]
    admitted = {
        (source.name, destination.name, port)
        for source in (*OUTSIDE, *inside)
        for destination in inside
        for port in PORTS
        if may_connect(_policies(overlay), source, destination, port)
    }
    assert admitted == {
        ("client", "r-irt-plumber", 8000),
        ("prometheus", "r-irt-plumber", 8000),
        ("prometheus", "ledger-metrics", 9464),
    }


@pytest.mark.parametrize("overlay", NAMES)
def test_pods_reach_the_database_and_reports_reach_the_bucket(overlay: str) -> None:
    database = Endpoint("database", address=DATABASES[overlay])
    reached = {
        (source.owner, destination.name, port)
        for source in pods(overlay)
        for destination in (NAME_SERVER, database, BUCKET)
        for port in PORTS
        if may_connect(_policies(overlay), _endpoint(source), destination, port)
    }
    owners = {pod.owner for pod in pods(overlay)}
    # The proxy of Cloud SQL speaks to the proxy on the instance's side.
    database_port = 3307 if overlay == "production" else 5432
    expected = {(owner, "name server", 53) for owner in owners}
    expected |= {(owner, "database", database_port) for owner in owners}
    expected |= {(owner, "bucket", 443) for owner in TELL_THE_BUCKET}
    if overlay == "local":
        # Wherever the machine's own PostgreSQL is.
        expected |= {(owner, "bucket", 5432) for owner in owners}
    assert reached == expected


@pytest.mark.parametrize("overlay", NAMES)
def test_names_are_resolved_and_nothing_else_is_asked(overlay: str) -> None:
    for pod in pods(overlay):
        source = _endpoint(pod)
        assert may_connect(_policies(overlay), source, NAME_SERVER, 53, "UDP")
        assert not may_connect(_policies(overlay), source, NEIGHBOUR, 443)
        is_known_there = may_connect(_policies(overlay), source, METADATA, 80)
        assert is_known_there == (overlay == "production")


def test_the_evaluator_knows_the_rules_of_kubernetes() -> None:
    def policy(**spec: Any) -> dict[str, Any]:
        return {"metadata": {"namespace": NAMESPACE}, "spec": {"podSelector": {}, **spec}}

    pod = Endpoint("pod", NAMESPACE, labels={"app": "a"}, named_ports={"http": 8000})
    other = Endpoint("other", NAMESPACE, labels={"app": "b"})
    machine = Endpoint("machine", address="10.0.5.1")

    def into(*ingress: dict[str, Any], source: Endpoint = other, port: int = 8000) -> bool:
        return may_connect(
            [policy(policyTypes=["Ingress"], ingress=list(ingress))], source, pod, port
        )

    assert may_connect([], other, pod, 1)
    assert not into()
    assert into({})
    assert into({"ports": [{"port": "http"}]})
    assert not into({"ports": [{"port": "http"}]}, port=8001)
    assert into({"ports": [{"port": 7000, "endPort": 9000}]})
    assert not into({"ports": [{"port": 8000, "protocol": "UDP"}]})
    assert into({"from": [{"podSelector": {"matchLabels": {"app": "b"}}}]})
    assert not into({"from": [{"podSelector": {"matchLabels": {"app": "c"}}}]})
    not_b = {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["b"]}]}
    assert not into({"from": [{"podSelector": not_b}]})
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.5.0/24"]}}
    assert not into({"from": [block]}, source=machine)
    assert into({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}, source=machine)
    # A namespace and a pod in one peer are both needed; in two peers, either.
    both = {"namespaceSelector": {"matchLabels": {"n": "1"}}, "podSelector": {}}
    assert not into({"from": [both]})
    assert into({"from": [both, {"podSelector": {}}]})
    # What may come in may not therefore go out.
    egress = [policy(policyTypes=["Egress"])]
    assert not may_connect(egress, other, pod, 8000)
    assert may_connect(egress, machine, pod, 8000)
