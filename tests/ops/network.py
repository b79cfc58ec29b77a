"""Evaluates NetworkPolicies as Kubernetes defines them: who may open a connection to whom.

A pod that no policy selects for a direction is open in that direction; one that is selected
takes exactly what the rules of all its policies together admit. A connection needs both its
egress and its ingress. Endpoints outside the namespace are known by labels or by address, and
their own policies are theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Policy = Mapping[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """A pod (of a namespace with labels) or, without a namespace, an address of a network."""

    name: str
    namespace: str | None = None
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str | None = None
    named_ports: Mapping[str, int] = field(default_factory=dict)


def may_connect(
    policies: Sequence[Policy],
    source: Endpoint,
    destination: Endpoint,
    port: int,
    protocol: str = "TCP",
) -> bool:
    """Say whether `source` may open a connection to a port of the destination's pod."""
    return _admits(policies, "Egress", source, destination, destination, port, protocol) and (
        _admits(policies, "Ingress", destination, source, destination, port, protocol)
    )


def _admits(
    policies: Sequence[Policy],
    direction: str,
    subject: Endpoint,
    peer: Endpoint,
    destination: Endpoint,
    port: int,
    protocol: str,
) -> bool:
    """Say whether the policies of `subject` admit `peer` in a direction."""
    concerned = [
        policy["spec"]
        for policy in policies
        if policy["metadata"]["namespace"] == subject.namespace
        and direction in policy["spec"]["policyTypes"]
        and _matches(policy["spec"]["podSelector"], subject.labels)
    ]
    if not concerned:
        return True
    key, side = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    return any(
        _is_among(rule.get(side), subject, peer)
        and _has_port(rule.get("ports"), destination, port, protocol)
        for spec in concerned
        for rule in spec.get(key) or []
    )


def _is_among(peers: Sequence[Mapping[str, Any]] | None, subject: Endpoint, peer: Endpoint) -> bool:
    return not peers or any(_is_peer(one, subject, peer) for one in peers)


def _is_peer(rule: Mapping[str, Any], subject: Endpoint, peer: Endpoint) -> bool:
    if "ipBlock" in rule:
        # Blocks are for addresses outside the cluster; a pod's address is not one to rely on.
        if peer.address is None:
            return False
        address = ip_address(peer.address)
        excluded = rule["ipBlock"].get("except", [])
        return address in ip_network(rule["ipBlock"]["cidr"]) and not any(
            address in ip_network(block) for block in excluded
        )
    if peer.namespace is None:
        return False
    if "namespaceSelector" in rule:
        in_namespace = _matches(rule["namespaceSelector"], peer.namespace_labels)
    else:
        in_namespace = peer.namespace == subject.namespace
    return in_namespace and _matches(rule.get("podSelector", {}), peer.labels)


def _has_port(
    ports: Sequence[Mapping[str, Any]] | None, destination: Endpoint, port: int, protocol: str
) -> bool:
    if not ports:
        return True
    for one in ports:
        if one.get("protocol", "TCP") != protocol:
            continue
        first = one.get("port", port)
        if isinstance(first, str):
            first = destination.named_ports.get(first)
        if first is not None and first <= port <= one.get("endPort", first):
            return True
    return False


def _matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        _meets(requirement, labels) for requirement in selector.get("matchExpressions", [])
    )


def _meets(requirement: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement["key"])
    values = requirement.get("values", [])
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[requirement["operator"]]
