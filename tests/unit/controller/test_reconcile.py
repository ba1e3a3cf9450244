from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from support.scenes import NOW
from support.warp import warped
from trireme.cluster import podview
from trireme.cluster.errors import ApiError, Unreachable
from trireme.cluster.events import Recorder
from trireme.cluster.informer import Key
from trireme.cluster.queue import WorkQueue
from trireme.cluster.resources import CONFIG_MAPS, PODS, SECRETS, SERVICES, TRAINING_JOBS, Resource
from trireme.contract.bundle import Agent
from trireme.controller.effects import Effects
from trireme.controller.jobs import Jobs
from trireme.controller.journal import Journal
from trireme.controller.launch import Launcher
from trireme.controller.metrics import Metrics
from trireme.controller.nodes import Nodes
from trireme.controller.progress import Poller
from trireme.controller.reconcile import Reconciler
from trireme.lifecycle.pod import Pod
from trireme.pocket.objects.patch import merge_patch

KEY = ("team", "digits")
Object = dict[str, Any]


def job(replicas: int = 2, uid: str = "job-uid") -> Object:
    container = {"name": "trainer", "image": "i", "command": ["train"]}
    return {
        "apiVersion": "trireme.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "digits", "namespace": "team", "uid": uid, "generation": 1},
        "spec": {"worker": {"replicas": replicas, "template": {"spec": {"containers": [container]}}}},
        "status": {"phase": "Pending", "message": "the API server's default"},
    }


class Api:
    """The client and the informer in one: objects in a dict, versions, refusals on demand."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.latest = 0
        self.writes: list[str] = []
        self.refuse: Callable[[str, Resource], ApiError | None] = lambda verb, resource: None
        self.version = 0
        """What the informer has seen."""
        self.served: dict[str, frozenset[str]] = {}
        """Kinds by apiVersion, of the optional ones."""
        self.discoveries = 0

    def put(self, resource: Resource, obj: Object) -> Object:
        self.latest += 1
        stored = copy.deepcopy(obj)
        stored["metadata"].setdefault("uid", f"uid-{self.latest}")
        stored["metadata"].setdefault("creationTimestamp", "2026-01-01T12:00:00Z")
        stored["metadata"].update(namespace="team", resourceVersion=str(self.latest))
        self.objects[resource.plural, stored["metadata"]["name"]] = stored
        return copy.deepcopy(stored)

    def names(self, resource: Resource) -> list[str]:
        return sorted(name for plural, name in self.objects if plural == resource.plural)

    def _ask(self, verb: str, resource: Resource, name: str) -> None:
        if verb != "get":
            self.writes.append(f"{verb} {resource.plural} {name}")
        error = self.refuse(verb, resource)
        if error is not None:
            raise error

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        self._ask("get", resource, name)
        if (resource.plural, name) not in self.objects:
            raise ApiError("get", 404, "NotFound", "not found")
        return copy.deepcopy(self.objects[resource.plural, name])

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        name = body["metadata"]["name"]
        self._ask("create", resource, name)
        if (resource.plural, name) in self.objects:
            raise ApiError("create", 409, "AlreadyExists", "already exists")
        return self.put(resource, body)

    async def patch(self, resource: Resource, namespace: str, name: str, body: Object, *, subresource: str) -> Object:
        self._ask("patch", resource, name)
        current = await self.get(resource, namespace, name)
        if body["metadata"]["resourceVersion"] != current["metadata"]["resourceVersion"]:
            raise ApiError("patch", 409, "Conflict", "the object has been modified")
        return self.put(resource, {**current, "status": merge_patch(current.get("status", {}), body["status"])})

    async def kinds(self, api_version: str) -> frozenset[str]:
        self.discoveries += api_version == VOLCANO
        return self.served.get(api_version, frozenset())

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        grace_seconds: int | None = None,
        propagation: str | None = None,
    ) -> None:
        assert (grace_seconds, propagation) == (None, "Background" if resource == TRAINING_JOBS else None)
        self._ask("delete", resource, name)
        if (await self.get(resource, namespace, name))["metadata"]["uid"] != uid:
            raise ApiError("delete", 409, "Conflict", "another uid")
        del self.objects[resource.plural, name]

    def of(self, key: Key) -> list[Pod]:
        pods = (podview.of_object(obj) for (plural, _), obj in self.objects.items() if plural == "pods")
        return [pod for pod in pods if pod.job == key[1] and int(pod.resource_version) <= self.version]


class Bench:
    """A reconciler on the fake API. `turn` handles what is queued now, `message` is what status says."""

    def __init__(self, made: Object) -> None:
        self.api = Api()
        self.jobs = Jobs()
        self.queue: WorkQueue[Key] = WorkQueue()
        client: Any = self.api
        launcher = Launcher(client, b"k" * 32, Agent(b"zip", "abc"))
        poller = Poller(self.queue.add, seconds=2, concurrency=2)
        self.events = Recorder(client, instance="test")
        journal = Journal(Metrics(process=False), self.events)
        effects = Effects(client, self.jobs, self.queue, launcher, journal, status_seconds=1)
        informer: Any = self.api
        nodes = Nodes(client)
        self.reconcile = Reconciler(self.jobs, lambda _: informer, effects, poller, nodes, b"k" * 32, now=lambda: NOW)
        self.jobs.put(self.api.put(TRAINING_JOBS, made))
        self.queue.add(KEY)

    async def turn(self) -> None:
        key = await self.queue.get()
        try:
            await self.reconcile(key)
        finally:
            self.queue.done(key)

    @property
    def message(self) -> str:
        text: str = self.api.objects["trainingjobs", "digits"].get("status", {}).get("message", "")
        return text

    @property
    def reason(self) -> str:
        """Of condition Running."""
        conditions = self.api.objects["trainingjobs", "digits"]["status"]["conditions"]
        return next(each["reason"] for each in conditions if each["type"] == "Running")


def bench(made: Object, test: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await test(Bench(made))

    warped(main())


def test_a_launch_writes_each_object_once_and_does_not_repeat_itself_before_the_informer_has_seen_it() -> None:
    async def test(it: Bench) -> None:
        for _ in range(4):
            it.queue.add(KEY)
            await it.turn()
        assert it.api.writes == [
            "create services tj-digits",
            "create secrets digits-token-job-uid",
            "create configmaps trireme-agent-abc",
            "create networkpolicies tj-digits",
            "create poddisruptionbudgets tj-digits-worker",
            "create pods digits-worker-0",
            "create pods digits-worker-1",
            "patch trainingjobs digits",
        ]

    bench(job(), test)


def test_what_all_jobs_of_a_namespace_share_is_made_once_until_one_of_them_goes() -> None:
    async def test(it: Bench) -> None:
        async def another(name: str) -> None:
            made = job()
            made["metadata"].update(name=name, uid=f"{name}-uid")
            it.jobs.put(it.api.put(TRAINING_JOBS, made))
            it.queue.add(("team", name))
            await it.turn()

        await it.turn()
        await another("second")
        assert it.api.writes.count("create configmaps trireme-agent-abc") == 1
        it.jobs.drop(("team", "second"), "second-uid")
        it.queue.add(("team", "second"))
        while len(it.queue):
            await it.turn()
        await another("third")
        assert it.api.writes.count("create configmaps trireme-agent-abc") == 2

    bench(job(), test)


def test_a_refused_pod_is_told_and_tried_again_later_not_at_once() -> None:
    async def test(it: Bench) -> None:
        quota = ApiError("create", 403, "Forbidden", "exceeded quota: gpus")
        it.api.refuse = lambda verb, resource: quota if (verb, resource) == ("create", PODS) else None
        async with asyncio.timeout(300):
            while it.api.writes.count("create pods digits-worker-0") < 4:
                await it.turn()
        assert it.message == "Pending: the API server refuses: exceeded quota: gpus"
        assert asyncio.get_running_loop().time() >= 0.5 + 1 + 2
        assert it.api.writes.count("create services tj-digits") == 1
        it.api.refuse = lambda verb, resource: None
        while "exceeded" in it.message:
            await it.turn()
        assert it.api.names(PODS) == ["digits-worker-0", "digits-worker-1"]
        assert it.message == "Pending: 0/2 pods run"

    bench(job(), test)


def test_what_was_refused_before_another_led_is_tried_at_once() -> None:
    async def test(it: Bench) -> None:
        quota = ApiError("create", 403, "Forbidden", "exceeded quota: gpus")
        it.api.refuse = lambda verb, resource: quota if (verb, resource) == ("create", PODS) else None
        while "exceeded" not in it.message:
            await it.turn()
        it.reconcile.forget()
        it.api.refuse = lambda verb, resource: None
        it.queue.add(KEY)
        await it.turn()
        assert it.message == "Pending: 0/2 pods run"
        assert it.api.names(PODS) == ["digits-worker-0", "digits-worker-1"]

    bench(job(), test)


def test_a_refusal_that_holds_for_all_pods_is_met_by_few() -> None:
    async def test(it: Bench) -> None:
        quota = ApiError("create", 403, "Forbidden", "exceeded quota")
        it.api.refuse = lambda verb, resource: quota if resource == PODS else None
        await it.turn()
        assert sum(write.startswith("create pods") for write in it.api.writes) == 8

    bench(job(replicas=1000), test)


def test_a_job_that_is_gone_unheard_gets_no_pods() -> None:
    async def test(it: Bench) -> None:
        del it.api.objects["trainingjobs", "digits"]
        await it.turn()
        await it.turn()
        assert it.api.writes == []
        assert it.jobs.get(KEY) is None
        assert len(it.queue) == 0

    bench(job(), test)


def test_a_successor_of_the_same_name_is_not_written_to_for_its_predecessor() -> None:
    async def test(it: Bench) -> None:
        it.api.put(TRAINING_JOBS, job(replicas=1, uid="second"))
        await it.turn()
        assert it.api.writes == []
        await it.turn()
        assert it.api.names(PODS) == ["digits-worker-0"]
        assert it.api.names(SECRETS) == ["digits-token-second"]

    bench(job(), test)


def test_a_service_of_a_stranger_stands_in_the_way_and_is_named() -> None:
    async def test(it: Bench) -> None:
        it.api.put(SERVICES, {"metadata": {"name": "tj-digits"}})
        while "tj-digits" not in it.message:
            await it.turn()
        assert it.message == (
            "Pending: Service tj-digits exists already and belongs to something else: delete it, or rename the job"
        )
        assert it.reason == "NameTaken"
        assert it.api.names(PODS) == []
        del it.api.objects["services", "tj-digits"]
        while not it.api.names(PODS):
            await it.turn()

    bench(job(), test)


def test_a_service_of_an_earlier_job_is_waited_for_and_is_no_news() -> None:
    async def test(it: Bench) -> None:
        earlier = {"apiVersion": "trireme.dev/v1alpha1", "kind": "TrainingJob", "name": "digits", "uid": "earlier"}
        it.api.put(SERVICES, {"metadata": {"name": "tj-digits", "ownerReferences": [earlier]}})
        while "tj-digits" not in it.message:
            await it.turn()
        assert it.message == "Pending: waiting for Service tj-digits of an earlier job to go"
        assert it.reason == "PodsPending"
        del it.api.objects["services", "tj-digits"]
        while not it.api.names(PODS):
            await it.turn()

    bench(job(), test)


def test_what_others_have_made_already_is_taken_as_it_is() -> None:
    async def test(it: Bench) -> None:
        it.api.put(CONFIG_MAPS, {"metadata": {"name": "trireme-agent-abc"}})
        await it.turn()
        assert it.api.names(PODS) == ["digits-worker-0", "digits-worker-1"]

    bench(job(), test)


def test_an_api_server_that_cannot_be_reached_midway_is_an_error_and_the_rest_follows() -> None:
    async def test(it: Bench) -> None:
        failures = iter([None, Unreachable("create", "broken")])
        it.api.refuse = lambda verb, resource: next(failures, None) if (verb, resource) == ("create", PODS) else None
        with pytest.raises(Unreachable):
            await it.turn()
        assert it.api.names(PODS) == ["digits-worker-0"]
        it.queue.add(KEY)
        await it.turn()
        assert it.api.names(PODS) == ["digits-worker-0", "digits-worker-1"]
        assert it.api.writes.count("create pods digits-worker-0") == 1

    bench(job(), test)


def test_status_is_written_at_most_once_a_second_while_the_phase_stays() -> None:
    async def test(it: Bench) -> None:
        await it.turn()
        it.api.version = it.api.latest
        for index in range(2):
            pod = it.api.objects["pods", f"digits-worker-{index}"]
            waiting = {"reason": "ImagePullBackOff", "message": f"try {index}"}
            pod["status"] = {"containerStatuses": [{"name": "trainer", "state": {"waiting": waiting}}]}
            it.queue.add(KEY)
            await it.turn()
        assert it.api.writes.count("patch trainingjobs digits") == 1
        await it.turn()
        assert asyncio.get_running_loop().time() >= 1
        assert it.message == "worker-0: ImagePullBackOff: try 0"
        assert it.api.writes.count("patch trainingjobs digits") == 2

    bench(job(), test)


def test_a_job_made_invalid_loses_the_pods_that_still_work() -> None:
    async def test(it: Bench) -> None:
        await it.turn()
        it.api.version = it.api.latest
        changed = copy.deepcopy(it.api.objects["trainingjobs", "digits"])
        changed["metadata"]["generation"] = 2
        del changed["spec"]["worker"]["template"]["spec"]["containers"][0]["command"]
        it.jobs.put(it.api.put(TRAINING_JOBS, changed))
        it.queue.add(KEY)
        await it.turn()
        assert it.message.startswith("Failed: invalid spec: spec.worker.template.spec.containers[0].command")
        assert it.api.names(PODS) == []

    bench(job(), test)


@pytest.mark.parametrize(
    ("ttl", "removed"),
    [pytest.param(None, False, id="none"), pytest.param(3600, True, id="over"), pytest.param(86400, False, id="left")],
)
def test_a_finished_job_that_does_not_parse_any_more_has_its_ttl_all_the_same(ttl: int | None, removed: bool) -> None:
    made = job()
    del made["spec"]["worker"]["template"]["spec"]["containers"][0]["command"]
    made["spec"]["cleanup"] = {} if ttl is None else {"ttlSecondsAfterFinished": ttl}
    ended = "2026-01-01T10:00:00Z"
    made["status"] = {
        "phase": "Succeeded",
        "observedGeneration": 1,
        "completionTime": ended,
        "conditions": [{"type": "Succeeded", "status": "True", "reason": "AllRanksDone", "lastTransitionTime": ended}],
    }

    async def test(it: Bench) -> None:
        await it.turn()
        assert (it.api.names(TRAINING_JOBS) == []) is removed

    bench(made, test)


def with_gang(said: str) -> Object:
    made = job()
    made["spec"]["scheduling"] = {"gang": said}
    return made


VOLCANO = "scheduling.volcano.sh/v1beta1"
SERVED = {VOLCANO: frozenset({"PodGroup", "Queue"})}


def test_a_gang_that_cannot_be_had_is_told_and_looked_for_ever_more_slowly() -> None:
    async def test(it: Bench) -> None:
        async with asyncio.timeout(120):
            while asyncio.get_running_loop().time() < 60:
                await it.turn()
        assert it.message == (
            "Pending: gang Volcano needs PodGroup of scheduling.volcano.sh/v1beta1, and the API server serves none"
        )
        (scheduled, running) = it.api.objects["trainingjobs", "digits"]["status"]["conditions"]
        assert (scheduled["type"], scheduled["status"], scheduled["reason"]) == (
            "Scheduled", "False", "GangUnavailable",
        )  # fmt: skip
        assert running["reason"] == "GangUnavailable"
        assert it.api.writes == ["patch trainingjobs digits"]
        assert 4 <= it.api.discoveries <= 7
        it.api.served = SERVED
        while not it.api.names(PODS):
            await it.turn()
        assert it.api.objects["pods", "digits-worker-0"]["spec"]["schedulerName"] == "volcano"

    bench(with_gang("Volcano"), test)


def test_auto_takes_what_the_cluster_serves_and_makes_one_group() -> None:
    async def test(it: Bench) -> None:
        it.api.served = SERVED
        await it.turn()
        (group,) = (it.api.objects[key] for key in it.api.objects if key[0] == "podgroups")
        assert group["spec"] == {"minMember": 2}
        links = [it.api.objects["pods", name]["metadata"]["annotations"] for name in it.api.names(PODS)]
        assert [link["scheduling.k8s.io/group-name"] for link in links] == [group["metadata"]["name"]] * 2
        assert len([write for write in it.api.writes if write.startswith("create")]) == 2 + 5 + 1

    bench(job(), test)


def test_a_kind_of_group_that_went_is_noticed_and_the_job_goes_on_without() -> None:
    async def test(it: Bench) -> None:
        it.api.served = SERVED
        gone = ApiError("create", 404, "NotFound", "the server could not find the requested resource")
        it.api.refuse = lambda verb, resource: gone if resource.plural == "podgroups" else None
        with pytest.raises(ApiError):
            await it.turn()
        it.api.served = {}
        it.queue.add(KEY)
        await it.turn()
        assert it.api.names(PODS) == ["digits-worker-0", "digits-worker-1"]

    bench(job(), test)
