"""What a real Kubernetes 1.36 answered, asked again: each case makes its requests and must observe the same.

The recording is `recorded/kubernetes-1.36.json`; uids, times and versions are reduced to "there" or "changed" in it.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cluster.api import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api
from cluster.widgets import CRDS, DEFINITION, GROUP, NAMESPACE, WIDGETS, in_namespace, widget

RECORDED = json.loads((Path(__file__).parent / "recorded" / "kubernetes-1.36.json").read_text(encoding="utf-8"))
PODS, CONFIG_MAPS, SECRETS, SERVICES = map(in_namespace, ("pods", "configmaps", "secrets", "services"))
LEASES = in_namespace("leases", "coordination.k8s.io")
EVENTS = in_namespace("events", "events.k8s.io")
WATCH_SECONDS = 4 if "TRIREME_TEST_KUBECONFIG" in os.environ else 1
"""A real server begins to watch a kind that was just defined with a delay."""

Observed = dict[str, Any]
Case = Callable[[Api], Awaitable[Observed]]
CASES: dict[str, Case] = {}


def case(observe: Case) -> Case:
    CASES[observe.__name__] = observe
    return observe


@pytest.fixture
async def prepared(api: Api) -> AsyncIterator[Api]:
    """A server with the definition of widgets and an empty namespace, and without them afterwards."""
    assert (await api("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})).code == 201
    assert (await api("POST", CRDS, DEFINITION)).code == 201
    assert await api.eventually(WIDGETS, 200)
    assert await api.eventually(f"{in_namespace('serviceaccounts')}/default", 200)
    yield api
    definition, namespace = f"{CRDS}/widgets.{GROUP}", f"/api/v1/namespaces/{NAMESPACE}"
    await api("DELETE", definition)
    await api("DELETE", namespace)
    assert await api.eventually(definition, 404)
    assert await api.eventually(namespace, 404, 60)


@pytest.mark.parametrize("name", sorted(RECORDED))
async def test_same_answers_as_kubernetes(name: str, prepared: Api) -> None:
    observed = await CASES[name](prepared)
    assert json.loads(json.dumps(observed)) == RECORDED[name]


@case
async def discovery(api: Api) -> Observed:
    group, version = await api("GET", f"/apis/{GROUP}"), await api("GET", f"/apis/{GROUP}/v1")
    core, core_version = await api("GET", "/api"), await api("GET", "/api/v1")
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    aggregated = await api("GET", "/apis", accept=accept)
    [widgets] = [entry for entry in version.body["resources"] if entry["name"] == "widgets"]
    served = {entry["name"] for entry in core_version.body["resources"]}
    wanted = ("pods", "pods/log", "pods/status", "services", "configmaps", "secrets", "events", "namespaces", "nodes")
    return {
        "group": [group.code, group.body["kind"], group.body["preferredVersion"]],
        "resources": sorted(entry["name"] for entry in version.body["resources"]),
        "widget": {
            **{key: widgets.get(key) for key in ("kind", "namespaced", "singularName", "shortNames", "categories")},
            "verbs": sorted(widgets["verbs"]),
        },
        "core": [core.code, core.body["kind"], core.body["versions"]],
        "coreGroupVersion": core_version.body["groupVersion"],
        "coreHas": [name for name in wanted if name in served],
        "aggregated": [
            aggregated.code,
            aggregated.body["kind"],
            [
                (resource["resource"], resource["scope"], resource["responseKind"]["kind"])
                for item in aggregated.body["items"]
                if item["metadata"].get("name") == GROUP
                for version in item["versions"]
                for resource in version["resources"]
            ],
        ],
    }


@case
async def create_defaults(api: Api) -> Observed:
    made = await api("POST", WIDGETS, widget("a"))
    return {
        "code": made.code,
        "spec": made.body["spec"],
        "generation": made.metadata.get("generation"),
        "has": sorted({"uid", "resourceVersion", "creationTimestamp"} & made.metadata.keys()),
        "time": re.sub(r"\d", "9", made.metadata["creationTimestamp"]),
        "status": made.body.get("status"),
    }


@case
async def create_refused(api: Api) -> Observed:
    async def refusal(body: Any, path: str = WIDGETS) -> Observed:
        return (await api("POST", path, body)).refusal

    await api("POST", WIDGETS, widget("dup"))
    elsewhere = WIDGETS.replace(NAMESPACE + "/", "no-such-namespace/")
    no_mode = {**widget("b2"), "spec": {}}
    return {
        "duplicate": await refusal(widget("dup")),
        "enum": await refusal(widget("b1", mode="Odd", replicas=0)),
        "missing": await refusal(no_mode),
        "type": await refusal(widget("b3", replicas="two")),
        "name": await refusal(widget("Bad_Name")),
        "cel": await refusal(widget("b4", replicas=2, minReplicas=5)),
        "kind": await refusal({**widget("b5"), "kind": "Gadget"}),
        "namespace": await refusal(widget("b6"), elsewhere),
        "json": (await api("POST", WIDGETS, "{not json")).code,
        "noBody": (await api("POST", WIDGETS, "")).code,
        "status_in_create_dropped": (await api("POST", WIDGETS, {**widget("b7"), "status": {"message": "x"}})).body.get(
            "status"
        ),
    }


@case
async def unknown_fields(api: Api) -> Observed:
    async def coloured(name: str, validation: str = "") -> Any:
        query = f"?fieldValidation={validation}" if validation else ""
        return await api("POST", WIDGETS + query, widget(name, colour="red"))

    strict, warn = await coloured("u1", "Strict"), await coloured("u2", "Warn")
    ignore, default = await coloured("u3", "Ignore"), await coloured("u4")
    kept = await api("POST", f"{WIDGETS}?fieldValidation=Strict", widget("u5", template={"anything": {"goes": 1}}))
    return {
        "strict": strict.refusal,
        "message": strict.body["message"],
        "warn": [warn.code, warn.headers.get("warning"), "colour" in warn.body["spec"]],
        "ignore": [ignore.code, "warning" in ignore.headers, "colour" in ignore.body["spec"]],
        "default": [default.code, "warning" in default.headers],
        "preserved": kept.body["spec"]["template"],
    }


@case
async def generate_name(api: Api) -> Observed:
    made = await api("POST", WIDGETS, {**widget(""), "metadata": {"generateName": "gen-"}})
    return {
        "code": made.code,
        "name": bool(re.fullmatch(r"gen-[a-z0-9]{5}", made.metadata["name"])),
        "kept": made.metadata.get("generateName"),
    }


@case
async def read_missing(api: Api) -> Observed:
    missing = f"{WIDGETS}/none"
    return {
        "get": (await api("GET", missing)).refusal,
        "delete": (await api("DELETE", missing)).refusal,
        "patch": (await api("PATCH", missing, {"spec": {"mode": "Safe"}}, MERGE)).refusal,
        "resource": (await api("GET", WIDGETS.replace("widgets", "gadgets"))).code,
        "group": (await api("GET", "/apis/none.trireme.dev/v1/things")).code,
    }


@case
async def put(api: Api) -> Observed:
    path = f"{WIDGETS}/put"
    made = await api("POST", WIDGETS, widget("put"))
    wanted = {**made.body, "spec": {**made.body["spec"], "mode": "Safe"}}
    changed = await api("PUT", path, wanted)
    unversioned = {key: value for key, value in changed.metadata.items() if key != "resourceVersion"}
    same = await api("PUT", path, changed.body)
    new = changed.version != made.version
    return {
        "ok": [changed.code, changed.body["spec"]["mode"], changed.metadata["generation"], new],
        "stale": (await api("PUT", path, wanted)).refusal,
        "noVersion": (await api("PUT", path, {**changed.body, "metadata": unversioned})).refusal,
        "same": [same.code, same.version == changed.version],
        "otherName": (await api("PUT", f"{WIDGETS}/other", changed.body)).code,
    }


@case
async def merge_patch(api: Api) -> Observed:
    path = f"{WIDGETS}/mp"

    async def patch(body: Any, at: str = path, media: str = MERGE) -> Any:
        return await api("PATCH", at, body, media)

    made = await api("POST", WIDGETS, widget("mp", template={"a": 1, "b": {"c": [1, 2]}}))
    changed = await patch({"spec": {"template": {"a": None, "b": {"c": [3]}}}})
    again = await patch({"spec": {"template": {"b": {"c": [3]}}}})
    labelled = await patch({"metadata": {"labels": {"x": "y"}}})
    ignored = await patch({"status": {"message": "ignored here"}})
    status = await patch({"status": {"message": "hello"}, "spec": {"mode": "Safe"}}, f"{path}/status")
    replies = (made, changed, again, labelled, ignored, status)
    return {
        "result": changed.body["spec"]["template"],
        "generation": [reply.metadata["generation"] for reply in replies],
        "noop": again.version == changed.version,
        "labels": labelled.metadata["labels"],
        "statusIgnored": ignored.body.get("status"),
        "statusNoop": ignored.version == labelled.version,
        "statusSet": status.body.get("status"),
        "specIgnoredByStatus": status.body["spec"]["mode"],
        "stale": (await patch({"metadata": {"resourceVersion": made.version}, "spec": {"mode": "Safe"}})).refusal,
        "invalid": (await patch({"spec": {"mode": "Odd"}})).refusal,
        "notObject": (await patch("[1]")).code,
        "defaultReturns": (await patch({"spec": {"replicas": None}})).body["spec"].get("replicas"),
        "contentType": (await patch("{}", media="application/json")).code,
        "strategicOnCR": (await patch("{}", media=STRATEGIC)).code,
        "immutable": [
            (await patch({"spec": {"owner": "ann"}})).code,
            (await patch({"spec": {"owner": "bob"}})).refusal,
        ],
    }


@case
async def json_patch(api: Api) -> Observed:
    path = f"{WIDGETS}/jp"
    made = await api("POST", WIDGETS, widget("jp"))

    async def patch(*operations: Observed) -> Any:
        return await api("PATCH", path, list(operations), JSON_PATCH)

    changed = await patch({"op": "replace", "path": "/spec/mode", "value": "Safe"})
    assert changed.version != made.version
    current = {"op": "test", "path": "/metadata/resourceVersion", "value": changed.version}
    was_fast = {"op": "test", "path": "/spec/mode", "value": "Fast"}
    return {
        "ok": changed.body["spec"]["mode"],
        "testFails": (await patch(was_fast, {"op": "remove", "path": "/spec/replicas"})).refusal,
        "testVersion": (await patch(current, {"op": "add", "path": "/metadata/finalizers", "value": []})).code,
        "missingPath": (await patch({"op": "remove", "path": "/spec/none"})).refusal,
        "garbage": (await api("PATCH", path, "{}", JSON_PATCH)).code,
    }


@case
async def apply_patch(api: Api) -> Observed:
    async def apply(manager: str, spec: Observed, force: bool = False) -> Any:
        query = f"?fieldManager={manager}" + ("&force=true" if force else "")
        return await api("PATCH", f"{WIDGETS}/ap{query}", {**widget("ap"), "spec": spec}, APPLY)

    wish = {"mode": "Fast", "replicas": 3, "template": {"x": 1}}
    made, same = await apply("one", wish), await apply("one", wish)
    conflict = await apply("two", {"mode": "Safe"})
    forced = await apply("two", {"mode": "Safe"}, force=True)
    dropped = await apply("one", {"replicas": 3})
    shared = await apply("three", {"mode": "Safe"})
    text = f"apiVersion: {GROUP}/v1\nkind: Widget\nmetadata: {{name: ap2}}\nspec: {{mode: Fast}}\n"
    return {
        "create": [made.code, made.metadata["generation"]],
        "same": [same.code, same.version == made.version],
        "conflict": {key: value for key, value in conflict.refusal.items() if key != "causes"},
        "causes": conflict.causes,
        "forced": [forced.code, forced.body["spec"]["mode"]],
        "dropped": dropped.body["spec"],
        "sharedOk": shared.code,
        "noManager": (await api("PATCH", f"{WIDGETS}/ap", widget("ap"), APPLY)).code,
        "managers": sorted({entry["manager"] for entry in shared.metadata["managedFields"]}),
        "yaml": (await api("PATCH", f"{WIDGETS}/ap2?fieldManager=y", text, APPLY)).code,
    }


@case
async def scale(api: Api) -> Observed:
    path = f"{WIDGETS}/sc"
    await api("POST", WIDGETS, widget("sc", replicas=4))
    await api("PATCH", f"{path}/status", {"status": {"replicas": 3, "selector": "a=b"}}, MERGE)
    got = await api("GET", f"{path}/scale")
    patched = await api("PATCH", f"{path}/scale", {"spec": {"replicas": 7}}, MERGE)
    return {
        "get": [got.body["kind"], got.body["apiVersion"], got.body["spec"], got.body["status"]],
        "patched": [patched.code, patched.body["spec"]],
        "spec": (await api("GET", path)).body["spec"]["replicas"],
        "tooMany": (await api("PATCH", f"{path}/scale", {"spec": {"replicas": 1000}}, MERGE)).code,
    }


@case
async def lists(api: Api) -> Observed:
    for index in range(5):
        await api("POST", WIDGETS, widget(f"l{index}", labels={"set": "l", "n": str(index % 2)}))

    async def select(selector: str, more: str = "") -> Any:
        return await api("GET", f"{WIDGETS}?labelSelector={quote(selector)}{more}")

    whole, first = await select("set=l"), await select("set=l", "&limit=2")
    token = first.metadata.get("continue", "")
    second = await select("set=l", f"&limit=2&continue={quote(token)}")
    everywhere = f"/apis/{GROUP}/v1/widgets?labelSelector=set%3Dl"
    return {
        "kind": [whole.body["kind"], whole.body["apiVersion"], bool(whole.version)],
        "sorted": whole.names,
        "itemsCarryKind": "kind" in whole.body["items"][0],
        "page1": first.names,
        "hasContinue": bool(token),
        "remaining": first.metadata.get("remainingItemCount"),
        "page2": second.names,
        "in": (await select("set=l,n in (1)")).names,
        "notin": (await select("set=l,n notin (1)")).names,
        "neq": (await select("set=l,n!=1")).names,
        "exists": len((await select("set")).names),
        "absent": "l0" in (await select("!set")).names,
        "field": (await api("GET", f"{WIDGETS}?fieldSelector=metadata.name%3Dl3")).names,
        "badField": (await api("GET", f"{WIDGETS}?fieldSelector=spec.mode%3DFast")).code,
        "badLabel": (await select("===")).code,
        "badContinue": (await api("GET", f"{WIDGETS}?limit=1&continue=zzz")).code,
        "allNamespaces": "l0" in (await api("GET", everywhere)).names,
    }


@case
async def tables(api: Api) -> Observed:
    await api("POST", WIDGETS, widget("tb"))
    status = {"message": "why", "conditions": [{"type": "Ready", "status": "True"}]}
    await api("PATCH", f"{WIDGETS}/tb/status", {"status": status}, MERGE)
    selected = f"{WIDGETS}?fieldSelector=metadata.name%3Dtb"
    as_table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    as_partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"
    table = (await api("GET", selected, accept=as_table)).body
    one = (await api("GET", f"{WIDGETS}/tb", accept=as_table)).body
    partial = (await api("GET", selected, accept=as_partial)).body
    [row] = table["rows"]
    return {
        "kind": [table["kind"], table["apiVersion"]],
        "columns": [(column["name"], column["type"], column["priority"]) for column in table["columnDefinitions"]],
        "cells": row["cells"][:4],
        "age": bool(re.fullmatch(r"\d+s|<invalid>", row["cells"][4])),
        "object": [row["object"]["kind"], sorted(row["object"])],
        "one": [one["kind"], len(one["rows"])],
        "partial": [partial["kind"], sorted(partial["items"][0])],
    }


@case
async def watches(api: Api) -> Observed:
    async def live(name: str, *patches: Observed) -> None:
        await api("POST", WIDGETS, widget(name, labels={"k": "v"}))
        for patch in patches:
            await api("PATCH", f"{WIDGETS}/{name}", patch, MERGE)
        await api("DELETE", f"{WIDGETS}/{name}")

    async def first() -> None:
        await live("w1", {"spec": {"mode": "Safe"}}, {"metadata": {"labels": {"k": "z"}}})

    async def second() -> None:
        await live("w2", {"metadata": {"labels": {"k": "z"}}}, {"metadata": {"labels": {"k": "v"}}})

    def told(events: list[Observed]) -> list[Any]:
        return [(event["type"], event["object"]["metadata"]["name"]) for event in events if event["type"] != "BOOKMARK"]

    watch = f"{WIDGETS}?watch=1&timeoutSeconds={WATCH_SECONDS}"
    version = (await api("GET", WIDGETS)).version
    plain = await api.watch(f"{watch}&resourceVersion={version}", first)
    version = (await api("GET", WIDGETS)).version
    selected = await api.watch(f"{watch}&labelSelector=k%3Dv&resourceVersion={version}", second)
    await api("POST", WIDGETS, widget("w3"))
    zero = await api.watch(f"{watch}&fieldSelector=metadata.name%3Dw3")
    future = await api.watch(f"{watch}&resourceVersion=99999999999")
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in plain]
    return {
        "plain": told(plain),
        "increasing": versions == sorted(set(versions)),
        "selector": told(selected),
        "zero": told(zero),
        "serverCloses": True,  # the reads above end when the server ends its answer
        "kindInObject": plain[0]["object"]["kind"],
        "futureDelivers": sum(event["type"] in ("ADDED", "MODIFIED") for event in future),
    }


@case
async def deletes(api: Api) -> Observed:
    held = widget("fin")
    held["metadata"]["finalizers"] = [f"{GROUP}/x"]
    await api("POST", WIDGETS, held)
    path, plain = f"{WIDGETS}/fin", f"{WIDGETS}/pl"
    marked, again, still = await api("DELETE", path), await api("DELETE", path), await api("GET", path)
    two = {"metadata": {"finalizers": [f"{GROUP}/x", f"{GROUP}/y"]}}
    more = await api("PATCH", path, two, MERGE)
    released = await api("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)
    await api("POST", WIDGETS, widget("pl"))
    other = {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}
    wrong, dry = await api("DELETE", plain, other), await api("DELETE", f"{plain}?dryRun=All")
    there, gone = await api("GET", plain), await api("DELETE", plain)
    for index in range(3):
        await api("POST", WIDGETS, widget(f"dc{index}", labels={"dc": "1"}))
    several = f"{WIDGETS}?labelSelector=dc%3D1"
    collection = await api("DELETE", several)
    dry_create = await api("POST", f"{WIDGETS}?dryRun=All", widget("dry"))
    return {
        "finalizer": [
            marked.code,
            marked.body["kind"],
            bool(marked.metadata.get("deletionTimestamp")),
            marked.metadata.get("deletionGracePeriodSeconds"),
        ],
        "again": again.code,
        "still": still.code,
        "addFinalizerRefused": more.code,
        "released": [released.code, (await api("GET", path)).code],
        "precondition": wrong.refusal,
        "dryRun": [dry.code, there.code],
        "plain": [gone.code, gone.body["kind"], gone.body["status"]],
        "collection": [collection.code, (await api("GET", several)).body["items"]],
        "create_dry_run": [dry_create.code, (await api("GET", f"{WIDGETS}/dry")).code],
    }


@case
async def garbage_collection(api: Api) -> Observed:
    async def owner(name: str) -> Observed:
        uid = (await api("POST", WIDGETS, widget(name))).metadata["uid"]
        reference = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "name": name, "uid": uid}
        return {**reference, "controller": True, "blockOwnerDeletion": True}

    async def owned(name: str, reference: Observed) -> None:
        await api("POST", CONFIG_MAPS, {"metadata": {"name": name, "ownerReferences": [reference]}})

    background = await owner("owner")
    await owned("child", background)
    await owned("orphan-ref", {**background, "uid": "11111111-1111-1111-1111-111111111111"})
    await api("DELETE", f"{WIDGETS}/owner")
    child_gone = await api.eventually(f"{CONFIG_MAPS}/child", 404, 90)
    absent_gone = await api.eventually(f"{CONFIG_MAPS}/orphan-ref", 404, 90)
    await owned("fg", await owner("owner3"))
    marked = await api("DELETE", f"{WIDGETS}/owner3", {"propagationPolicy": "Foreground"})
    return {
        "childGone": child_gone,
        "absentOwnerGone": absent_gone,
        "foreground": [marked.code, marked.metadata.get("finalizers")],
        "foregroundAllGone": [
            await api.eventually(f"{WIDGETS}/owner3", 404, 90),
            await api.eventually(f"{CONFIG_MAPS}/fg", 404, 90),
        ],
    }


@case
async def pods(api: Api) -> Observed:
    container = {"name": "trainer", "image": "example/none:1", "command": ["true"]}
    nowhere = {"conformance": "nowhere"}

    def pod(name: str, labels: Observed | None = None, **spec: Any) -> Observed:
        return {"metadata": {"name": name, "labels": labels or {}}, "spec": {"nodeSelector": nowhere, **spec}}

    def alone(**more: Any) -> Observed:
        return {"containers": [{"name": "c", "image": "i", **more}]}

    path = f"{PODS}/p1"
    made = await api("POST", PODS, pod("p1", {"job": "x"}, containers=[container], terminationGracePeriodSeconds=1))
    other_command = {"spec": {"containers": [{**container, "command": ["false"]}]}}
    immutable = await api("PATCH", path, other_command, STRATEGIC)
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    status = await api("PATCH", f"{path}/status", {"status": ready}, STRATEGIC)
    initialized = {"conditions": [{"type": "Initialized", "status": "True"}]}
    merged = await api("PATCH", f"{path}/status", {"status": initialized}, STRATEGIC)
    log, deleted = await api("GET", f"{path}/log"), await api("DELETE", path)
    spec = made.body["spec"]
    spec_keys = ("restartPolicy", "dnsPolicy", "schedulerName", "enableServiceLinks", "preemptionPolicy", "priority")
    container_keys = ("imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy")
    bad_label = pod("p2", {"bad key!": "x"}, containers=[container])
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    half = {"limits": {"nvidia.com/gpu": "0.5"}}
    conditions = {condition["type"] for condition in merged.body["status"]["conditions"]}
    return {
        "code": made.code,
        "phase": made.body["status"]["phase"],
        "qos": made.body["status"].get("qosClass"),
        "generation": made.metadata.get("generation"),
        "defaults": {key: spec.get(key) for key in spec_keys},
        "container": {key: spec["containers"][0].get(key) for key in container_keys},
        "immutable": {key: immutable.refusal[key] for key in ("code", "reason", "causes")},
        "statusPhase": status.body["status"]["phase"],
        "conditionsMergeByType": sorted(conditions & {"Ready", "Initialized"}),
        "logUnscheduled": log.code,
        "delete": deleted.code,
        "gone": await api.eventually(path, 404),
        "labels": (await api("POST", PODS, bad_label)).causes,
        "noContainers": (await api("POST", PODS, pod("p3", containers=[]))).causes,
        "dupEnv": (await api("POST", PODS, pod("p4", **alone(env=twice)))).code,
        "longHostname": (await api("POST", PODS, pod("p5", hostname="h" * 64, **alone()))).causes,
        "gpuFraction": (await api("POST", PODS, pod("p6", **alone(resources=half)))).causes,
    }


@case
async def core_kinds(api: Api) -> Observed:
    frozen = {"metadata": {"name": "im"}, "data": {"a": "1"}, "immutable": True}
    config_map = await api("POST", CONFIG_MAPS, frozen)
    secret = await api("POST", SECRETS, {"metadata": {"name": "s"}, "stringData": {"k": "v"}})
    headless = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"a": "b"}}
    service = await api("POST", SERVICES, {"metadata": {"name": "hs"}, "spec": {**headless, "ports": [{"port": 7070}]}})
    spec = service.body["spec"]
    binary = {"metadata": {"name": "bin"}, "binaryData": {"z": base64.b64encode(b"\0\1").decode()}}
    big = {"metadata": {"name": "big"}, "data": {"a": "x" * 1_100_000}}
    return {
        "immutableConfigMap": (await api("PATCH", f"{CONFIG_MAPS}/im", {"data": {"a": "2"}}, MERGE)).causes,
        "binaryData": (await api("POST", CONFIG_MAPS, binary)).code,
        "secret": [secret.code, secret.body.get("data"), secret.body.get("type"), secret.body.get("stringData")],
        "service": {
            **{key: spec.get(key) for key in ("clusterIP", "type", "publishNotReadyAddresses", "sessionAffinity")},
            "port": spec["ports"][0],
        },
        "configMapTooBig": (await api("POST", CONFIG_MAPS, big)).code,
        "generationOnConfigMap": config_map.metadata.get("generation"),
    }


@case
async def leases(api: Api) -> Observed:
    times = {"renewTime": "2026-01-01T00:00:00.000000Z", "acquireTime": "2026-01-01T00:00:00.000000Z"}
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 0, **times}

    def lease(metadata: Observed, **changes: Any) -> Observed:
        head = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
        return {**head, "metadata": {"name": "le", **metadata}, "spec": {**spec, **changes}}

    path = f"{LEASES}/le"
    made = await api("POST", LEASES, lease({}))
    taken = lease({"resourceVersion": made.version}, holderIdentity="b")
    updated, stale = await api("PUT", path, taken), await api("PUT", path, taken)
    return {
        "create": made.code,
        "update": [updated.code, updated.body["spec"]["holderIdentity"]],
        "stale": stale.refusal,
        "badTime": (await api("PUT", path, lease({}, renewTime="yesterday"))).code,
    }


@case
async def events(api: Api) -> Observed:
    about = {"kind": "Widget", "namespace": NAMESPACE, "name": "a", "apiVersion": f"{GROUP}/v1"}

    def event(name: str, **changes: Any) -> Observed:
        told = {"action": "Launch", "reason": "Launched", "type": "Normal", "note": "n", "regarding": about}
        by = {"reportingController": "trireme.dev/operator", "reportingInstance": "op-0"}
        head = {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": name}}
        return {**head, "eventTime": "2026-01-01T00:00:00.000000Z", **told, **by, **changes}

    made = await api("POST", EVENTS, event("ev.1"))
    bare = {key: value for key, value in event("ev.2").items() if key not in ("action", "reportingInstance")}
    core = await api("GET", f"{in_namespace('events')}/ev.1")
    again = {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:10.000000Z"}}
    series = await api("PATCH", f"{EVENTS}/ev.1", again, MERGE)
    elsewhere = event("ev.4", regarding={**about, "namespace": "default"})
    return {
        "create": made.code,
        "missing": (await api("POST", EVENTS, bare)).code,
        "longNote": (await api("POST", EVENTS, event("ev.3", note="x" * 1100))).code,
        "asCore": [core.code, core.body["involvedObject"]["name"], core.body["message"], core.body["reason"]],
        "series": [series.code, (series.body.get("series") or {}).get("count")],
        "otherNamespace": (await api("POST", EVENTS, elsewhere)).code,
    }


@case
async def protocol(api: Api) -> Observed:
    assert await api.eventually(f"/openapi/v3/apis/{GROUP}/v1", 200)  # a real server publishes a new kind with a delay
    index = await api("GET", "/openapi/v3")
    document = await api("GET", f"/openapi/v3/apis/{GROUP}/v1")
    item = f"/apis/{GROUP}/v1/namespaces/{{namespace}}/widgets/{{name}}"
    huge = widget("huge", template={"x": "y" * 4_000_000})
    version = (await api("GET", "/version")).body
    return {
        "version": sorted({"major", "minor", "gitVersion", "platform"} & version.keys()),
        "readyz": (await api("GET", "/readyz")).code,
        "healthz": (await api("GET", "/healthz")).code,
        "openapiV3": [index.code, f"apis/{GROUP}/v1" in index.body["paths"], "api/v1" in index.body["paths"]],
        "fieldValidationInOpenapi": "fieldValidation" in json.dumps(document.body["paths"].get(item, {})),
        "method": (await api("POST", f"{WIDGETS}/x", {})).code,
        "unknownPath": (await api("GET", "/nonsense")).code,
        "hugeBody": (await api("POST", WIDGETS, huge)).code,
    }


@case
async def crd_changes(api: Api) -> Observed:
    misnamed = {**DEFINITION, "metadata": {"name": f"wrong.{GROUP}"}}
    status = (await api("GET", f"{CRDS}/widgets.{GROUP}")).body["status"]
    return {
        "nameRule": (await api("POST", CRDS, misnamed)).code,
        "conditions": sorted(each["type"] for each in status["conditions"] if each["status"] == "True"),
        "stored": status["storedVersions"],
        "delete_definition_deletes_objects": True,  # the fixture deletes it with all its objects, and waits
    }
