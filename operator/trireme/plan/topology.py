"""Packs a job into one topology domain: each pod wants to be where the others of its job are."""

from __future__ import annotations

from trireme.contract import names
from trireme.plan.manifests import Manifest
from trireme.spec.model import Topology, TopologyMode

WEIGHT = 100
"""The most that a preference can have: the network is what a training waits for."""


def packed(template: Manifest, topology: Topology, job: str) -> Manifest:
    """The template with one more term of pod affinity; the user's own stay."""
    spec = template["spec"]
    affinity = spec.get("affinity") or {}
    pods = affinity.get("podAffinity") or {}
    term: Manifest = {"labelSelector": {"matchLabels": names.job_labels(job)}, "topologyKey": topology.key}
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    if topology.mode is TopologyMode.PREFERRED:
        key, term = "preferredDuringSchedulingIgnoredDuringExecution", {"weight": WEIGHT, "podAffinityTerm": term}
    terms = [*(pods.get(key) or ()), term]
    return {**template, "spec": {**spec, "affinity": {**affinity, "podAffinity": {**pods, key: terms}}}}
