"""The pocket's kubelet and scheduler with real processes, on the pocket's API server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import CONFIG_MAPS, EVENTS, NODES, PODS, SECRETS, SERVICES, Resource
from trireme.pocket.apiserver.faults import Rule
from trireme.pocket.apiserver.logs import LogOptions
from trireme.pocket.apiserver.server import ApiServer
from trireme.pocket.kubelet import procfs
from trireme.pocket.kubelet.container import BackOff
from trireme.pocket.kubelet.kubelet import Kubelet
from trireme.pocket.kubelet.process import MARK
from trireme.pocket.scheduler import Scheduler

Object = dict[str, Any]
Condition = Callable[[Object], bool]

PATIENCE_SECONDS = 60.0
GPU = "nvidia.com/gpu"
KUBELET_WRITES = frozenset({"pods/status", "pods/binding", "events"})


class Pocket:
    """The parts under test, and what tests do with them."""

    def __init__(self, client: Client, kubelet: Kubelet, folder: Path, server: ApiServer) -> None:
        self.client = client
        self.kubelet = kubelet
        self.folder = folder
        self.server = server

    async def create(self, pod: Object, resource: Resource = PODS) -> Object:
        return await self.client.create(resource, "default", pod)

    async def get(self, name: str) -> Object:
        return await self.client.get(PODS, "default", name)

    async def delete(self, name: str, **options: Any) -> None:
        await self.client.delete(PODS, "default", name, **options)

    async def until(self, name: str, condition: Condition) -> Object:
        """The pod, as soon as it meets the condition."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            pod = await self.get(name)
            while not condition(pod):
                lines = self.client.watch(
                    PODS,
                    "default",
                    resource_version=pod["metadata"]["resourceVersion"],
                    field_selector=f"metadata.name={name}",
                )
                async for line in lines:
                    event = json.loads(line)
                    if event["type"] == "MODIFIED":
                        pod = event["object"]
                        if condition(pod):
                            return pod
            return pod

    async def until_polled(self, name: str, condition: Condition) -> Object:
        """As `until`, for an API server whose watches are not to be trusted."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition(pod := await self.get(name)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            return pod

    async def until_gone(self, name: str) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            only = f"metadata.name={name}"
            pods, version = await self.client.list(PODS, "default", field_selector=only)
            if not pods:
                return
            async for line in self.client.watch(PODS, "default", resource_version=version, field_selector=only):
                if json.loads(line)["type"] == "DELETED":
                    return

    async def run(self, pod: Object) -> Object:
        """The pod when it is over."""
        await self.create(pod)
        return await self.until(pod["metadata"]["name"], over)

    async def logs(self, name: str, container: str | None = None, **options: Any) -> str:
        return b"".join([chunk async for chunk in self.client.logs("default", name, container, **options)]).decode()

    async def processes(self, uid: str) -> list[int]:
        return [pid for mark in self.marks(uid) for pid in procfs.with_environment(f"{MARK}={mark}")]

    @staticmethod
    def marks(uid: str) -> list[str]:
        return [f"{uid}/main/{restart}" for restart in range(3)]


@pytest.fixture
async def pocket(tmp_path: Path) -> AsyncIterator[Pocket]:
    server = ApiServer(token="a-token")
    await server.start()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(server.kubeconfig()))
    async with await Client.connect(kubeconfig) as client:
        folder = tmp_path / "pods"
        kubelet = Kubelet(client, folder, gpus=2, directory=tmp_path, back_off=BackOff(first=0.05))
        server.logs = kubelet
        await kubelet.start()
        scheduler = asyncio.create_task(Scheduler(client).run())
        yield Pocket(client, kubelet, folder, server)
        await kubelet.stop(grace=0.5)
        scheduler.cancel()
        await asyncio.gather(scheduler, return_exceptions=True)
    await server.stop()
    assert not any(folder.iterdir()) if folder.exists() else True
    assert procfs.children(os.getpid()) == []


def pod(script: str = "true", *, name: str = "p", container: Object | None = None, **spec: Any) -> Object:
    """A pod whose container `main` runs a shell script once."""
    main = {"name": "main", "image": "busybox", "command": ["sh", "-c", script], **(container or {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": [main], **spec},
    }


def over(pod: Object) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def running(pod: Object) -> bool:
    return pod["status"].get("phase") == "Running"


def waiting(reason: str) -> Condition:
    def condition(pod: Object) -> bool:
        states = [status["state"] for status in pod["status"].get("containerStatuses") or []]
        return any(state.get("waiting", {}).get("reason") == reason for state in states)

    return condition


def ended(pod: Object, number: int = 0) -> Object:
    """How the container ended, without its times and ids."""
    state = dict(pod["status"]["containerStatuses"][number]["state"]["terminated"])
    return {key: value for key, value in state.items() if key in ("exitCode", "reason", "message")}


def condition(pod: Object, kind: str) -> Object:
    return next(each for each in pod["status"]["conditions"] if each["type"] == kind)


@pytest.mark.parametrize(
    ("script", "phase", "end"),
    [
        pytest.param("exit 0", "Succeeded", {"exitCode": 0, "reason": "Completed"}, id="success"),
        pytest.param("exit 3", "Failed", {"exitCode": 3, "reason": "Error"}, id="an exit code"),
        pytest.param("kill -SEGV $$$$", "Failed", {"exitCode": 139, "reason": "Error"}, id="a signal"),
        pytest.param("echo why >/dev/termination-log; exit 1", "Failed",
                     {"exitCode": 1, "reason": "Error", "message": "why\n"}, id="a termination message"),
        pytest.param("head -c 5000 /dev/zero | tr '\\0' x >$TRIREME_TERMINATION_LOG", "Succeeded",
                     {"exitCode": 0, "reason": "Completed", "message": "x" * 4096}, id="a message that is too long"),
    ],
)  # fmt: skip
async def test_how_a_pod_ends(pocket: Pocket, script: str, phase: str, end: Object) -> None:
    result = await pocket.run(pod(script))
    assert (result["status"]["phase"], ended(result)) == (phase, end)


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"command": ["no-such-program"]}, 'exec "no-such-program": No such file or directory'),
        ({"command": ["/etc/passwd"]}, 'exec "/etc/passwd": Permission denied'),
        ({"workingDir": "/no/such/folder"}, 'chdir to "/no/such/folder": No such file or directory'),
    ],
    ids=["no such program", "not executable", "no such folder"],
)
async def test_a_command_that_cannot_be_executed(pocket: Pocket, container: Object, message: str) -> None:
    result = await pocket.run(pod(container=container))
    assert ended(result) == {"exitCode": 128, "reason": "StartError", "message": message}


async def test_no_signal_that_the_kubelets_parent_ignores_is_ignored_in_a_container(pocket: Pocket) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        await pocket.run(pod("grep SigIgn /proc/self/status"))
    finally:
        signal.signal(signal.SIGINT, before)
    ignored = int((await pocket.logs("p")).split()[1], 16)
    assert [number for number in signal.valid_signals() if ignored >> (number - 1) & 1] == []


async def test_the_last_lines_stand_in_for_a_missing_message(pocket: Pocket) -> None:
    script = "for i in 1 2 3; do echo $i; done; exit 1"
    result = await pocket.run(pod(script, container={"terminationMessagePolicy": "FallbackToLogsOnError"}))
    assert ended(result) == {"exitCode": 1, "reason": "Error", "message": "1\n2\n3\n"}


async def test_a_container_that_exceeds_its_memory_is_killed(pocket: Pocket) -> None:
    hog = [sys.executable, "-c", "import time; data = bytearray(200 << 20); time.sleep(60)"]
    limits = {"limits": {"memory": "100Mi"}}
    result = await pocket.run(pod(container={"command": hog, "resources": limits}))
    assert ended(result) == {"exitCode": 137, "reason": "OOMKilled"}


async def test_environment_volumes_and_names_are_resolved(pocket: Pocket, tmp_path: Path) -> None:
    await pocket.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "A"}}, CONFIG_MAPS
    )
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    await pocket.create({**secret, "data": {"token": b64encode(b"T").decode()}}, SECRETS)
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    await pocket.create({**service, "spec": {"clusterIP": "None", "selector": {"a": "b"}}}, SERVICES)
    script = """
        cat /etc/c/a /etc/s/token; echo
        echo $IP = $SELF, $HOSTNAME, $GREETING, $LIMIT, ${CUDA_VISIBLE_DEVICES-unset}
        echo kept >/scratch/x; cat $FILE
        pwd; command -v python3
    """
    container = {
        "env": [
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "SELF", "value": "p.web.default.svc"},
            {"name": "GREETING", "value": "hello $(IP)"},
            {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
            {"name": "FILE", "value": "/scratch/x"},
        ],
        "resources": {"limits": {"memory": "512Mi"}},
        "volumeMounts": [
            {"name": "c", "mountPath": "/etc/c"},
            {"name": "s", "mountPath": "/etc/s"},
            {"name": "e", "mountPath": "/scratch"},
        ],
    }
    volumes = [
        {"name": "c", "configMap": {"name": "c"}},
        {"name": "s", "secret": {"secretName": "s"}},
        {"name": "e", "emptyDir": {}},
    ]
    result = await pocket.run(pod(script, container=container, volumes=volumes, subdomain="web"))
    ip = result["status"]["podIP"]
    assert (await pocket.logs("p")).splitlines() == [
        "AT",
        f"{ip} = {ip}, p, hello {ip}, 512,",
        "kept",
        str(tmp_path),
        str(Path(sys.executable).parent / "python3"),
    ]


async def test_pods_of_one_namespace_share_a_claim(pocket: Pocket) -> None:
    claim = {
        "container": {"volumeMounts": [{"name": "v", "mountPath": "/shared"}]},
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}],
    }
    await pocket.run(pod("echo kept > /shared/file", name="first", **claim))
    await pocket.run(pod("cat /shared/file", name="second", **claim))
    assert await pocket.logs("second") == "kept\n"


async def test_two_pods_meet_on_one_port_by_name(pocket: Pocket) -> None:
    """The client starts before its server exists; both would use the same port of one address otherwise."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"clusterIP": "None"}}
    await pocket.create(service, SERVICES)
    listen = (
        "import os, socket; s = socket.create_server((os.environ['IP'], 7070)); "
        "c, _ = s.accept(); c.sendall(b'from ' + os.environ['HOSTNAME'].encode())"
    )
    ask = (
        "import socket, time\n"
        "while True:\n"
        "    try: print(socket.create_connection(('b.web', 7070)).recv(99).decode()); break\n"
        "    except ConnectionRefusedError: time.sleep(0.02)"
    )
    own = {"env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}
    await pocket.create(pod(name="a", subdomain="web", container={"command": ["python3", "-c", ask]}))
    await pocket.until("a", running)
    await pocket.run(pod(name="b", subdomain="web", container={"command": ["python3", "-c", listen], **own}))
    await pocket.until("a", over)
    assert await pocket.logs("a") == "from b\n"


async def test_what_a_container_refers_to_may_come_later(pocket: Pocket) -> None:
    reference = {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "k"}}}]}
    await pocket.create(pod("echo $A", container=reference))
    blocked = await pocket.until("p", waiting("CreateContainerConfigError"))
    assert blocked["status"]["containerStatuses"][0]["state"]["waiting"]["message"] == 'configmap "late" not found'
    await pocket.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}, "data": {"k": "here"}}, CONFIG_MAPS
    )
    await pocket.until("p", over)
    assert await pocket.logs("p") == "here\n"


async def test_an_image_reference_must_be_well_formed(pocket: Pocket) -> None:
    await pocket.create(pod(container={"image": "Not:An:Image"}))
    assert running(await pocket.until("p", waiting("InvalidImageName"))) is False


async def test_what_the_pocket_cannot_do_fails_the_pod_with_the_reason(pocket: Pocket) -> None:
    result = await pocket.run(pod(volumes=[{"name": "v", "nfs": {"server": "s", "path": "/"}}]))
    kinds = "configMap, downwardAPI, emptyDir, hostPath, persistentVolumeClaim, projected, secret"
    assert (result["status"]["phase"], result["status"]["reason"], result["status"]["message"]) == (
        "Failed",
        "PocketUnsupported",
        f"spec.volumes[0].nfs: the pocket has {kinds} volumes only",
    )


async def test_deletion_gives_the_main_process_time(pocket: Pocket) -> None:
    script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.02; done"
    await pocket.create(pod(script))
    await pocket.until("p", running)
    log = pocket.client.logs("default", "p", None, follow=True)
    assert await anext(log) == b"ready\n"
    await pocket.delete("p", grace_seconds=10)
    assert [chunk async for chunk in log] == [b"bye\n"]
    await pocket.until_gone("p")


async def test_deletion_ends_what_does_not_listen(pocket: Pocket) -> None:
    uid = (await pocket.create(pod("trap '' TERM; while :; do sleep 0.02; done")))["metadata"]["uid"]
    await pocket.until("p", running)
    await pocket.delete("p", grace_seconds=1)
    await pocket.until_gone("p")
    assert await pocket.processes(uid) == []


async def test_forced_deletion(pocket: Pocket) -> None:
    uid = (await pocket.create(pod("sleep 1000")))["metadata"]["uid"]
    await pocket.until("p", running)
    await pocket.delete("p", grace_seconds=0)
    await pocket.until_gone("p")
    await pocket.run(pod(name="p"))  # a successor of the name is not confused with it
    assert await pocket.processes(uid) == []


async def test_a_daemon_does_not_outlive_its_container(pocket: Pocket) -> None:
    daemon = "setsid sh -c 'setsid sleep 1000 & exec sleep 1000' >/dev/null 2>&1 &"
    result = await pocket.run(pod(daemon))
    assert ended(result) == {"exitCode": 0, "reason": "Completed"}
    assert await pocket.processes(result["metadata"]["uid"]) == []


async def test_a_shim_that_is_killed_takes_its_container_along(pocket: Pocket) -> None:
    created = await pocket.create(pod("setsid sleep 1000 & exec sleep 1000"))
    await pocket.until("p", running)
    (shim,) = procfs.children(os.getpid())
    os.kill(shim, signal.SIGKILL)
    result = await pocket.until("p", over)
    assert ended(result) == {"exitCode": 137, "reason": "Error"}
    assert await pocket.processes(created["metadata"]["uid"]) == []


async def test_restart_until_success(pocket: Pocket) -> None:
    script = "echo try >>/scratch/tries; echo $(wc -l </scratch/tries); test $(wc -l </scratch/tries) -ge 3"
    mount = {"volumeMounts": [{"name": "e", "mountPath": "/scratch"}]}
    volumes = [{"name": "e", "emptyDir": {}}]
    result = await pocket.run(pod(script, container=mount, volumes=volumes, restartPolicy="OnFailure"))
    status = result["status"]["containerStatuses"][0]
    assert (result["status"]["phase"], status["restartCount"]) == ("Succeeded", 2)
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert await pocket.logs("p") == "3\n"
    previous = pocket.kubelet.logs("default", "p", "main", LogOptions(previous=True))
    assert b"".join([chunk async for chunk in previous]) == b"2\n"
    assert {path.name for path in pocket.folder.glob("*/containers/main/*")} == {
        "1.log",
        "1.termination",
        "2.log",
        "2.termination",
    }


async def test_back_off_is_told(pocket: Pocket) -> None:
    await pocket.create(pod("exit 1", restartPolicy="Always"))
    looping = await pocket.until("p", waiting("CrashLoopBackOff"))
    assert looping["status"]["phase"] == "Running"
    await pocket.delete("p", grace_seconds=5)
    await pocket.until_gone("p")


async def test_init_containers_run_in_order_and_sidecars_beside(pocket: Pocket) -> None:
    def step(name: str, script: str, **fields: Any) -> Object:
        mounts = [{"name": "e", "mountPath": "/scratch"}]
        return {"name": name, "image": "busybox", "command": ["sh", "-c", script], "volumeMounts": mounts, **fields}

    result = await pocket.run(
        pod(
            container=step("main", "cat /scratch/log; test -e /scratch/side"),
            initContainers=[
                step("one", "echo one >>/scratch/log"),
                step("side", "touch /scratch/side; sleep 1000", restartPolicy="Always"),
                step("two", "while ! test -e /scratch/side; do sleep 0.02; done; echo two >>/scratch/log"),
            ],
            volumes=[{"name": "e", "emptyDir": {}}],
            terminationGracePeriodSeconds=1,
        )
    )
    assert result["status"]["phase"] == "Succeeded"
    assert await pocket.logs("p", "main") == "one\ntwo\n"


async def test_a_failed_init_container_fails_the_pod(pocket: Pocket) -> None:
    init = {"name": "init", "image": "busybox", "command": ["sh", "-c", "exit 7"]}
    result = await pocket.run(pod(initContainers=[init]))
    assert result["status"]["phase"] == "Failed"
    assert result["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 7
    assert condition(result, "Initialized")["status"] == "False"


async def test_the_deadline_of_a_pod(pocket: Pocket) -> None:
    result = await pocket.run(pod("sleep 1000", activeDeadlineSeconds=1))
    assert (result["status"]["phase"], result["status"]["reason"]) == ("Failed", "DeadlineExceeded")


async def test_the_deadline_of_a_pod_may_come_while_it_runs(pocket: Pocket) -> None:
    await pocket.create(pod("sleep 1000", name="late"))
    await pocket.until("late", running)
    await pocket.client.patch(PODS, "default", "late", {"spec": {"activeDeadlineSeconds": 1}})
    result = await pocket.until("late", lambda each: each["status"]["phase"] == "Failed")
    assert result["status"]["reason"] == "DeadlineExceeded"


async def test_gpus_are_pretend_but_counted(pocket: Pocket) -> None:
    def wanting(name: str, gpus: int, script: str) -> Object:
        return pod(script, name=name, container={"resources": {"limits": {GPU: gpus}}})

    def unschedulable(pod: Object) -> bool:
        return any(each.get("reason") == "Unschedulable" for each in pod["status"].get("conditions", ()))

    await pocket.create(wanting("first", 2, "sleep 1000"))
    await pocket.until("first", running)
    await pocket.create(wanting("second", 1, "true"))
    refused = await pocket.until("second", unschedulable)
    assert condition(refused, "PodScheduled")["message"] == "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    await pocket.delete("first")
    assert (await pocket.until("second", over))["status"]["phase"] == "Succeeded"


async def test_gpus_go_from_one_pod_to_the_next(pocket: Pocket) -> None:
    pods = [pod("true", name=f"p{number}", container={"resources": {"limits": {GPU: 1}}}) for number in range(6)]
    over = await asyncio.gather(*(pocket.run(each) for each in pods))
    assert [each["status"]["phase"] for each in over] == 6 * ["Succeeded"]


async def test_an_api_server_that_misbehaves(pocket: Pocket) -> None:
    """Watches end after two events, versions are too old, a third of the writes fails: pods still come and go."""
    faults = pocket.server.faults
    faults.events_per_watch = 2
    faults.add(Rule(410, share=0.3, verbs=frozenset({"watch"})))
    faults.add(Rule(500, share=0.3, verbs=frozenset({"create", "patch", "delete"}), resources=KUBELET_WRITES))
    faults.add(Rule(409, share=0.3, verbs=frozenset({"patch"}), resources=KUBELET_WRITES))
    names = [f"p{number}" for number in range(4)]
    for name in names:
        await pocket.create(pod("exit 3", name=name))
    faults.drop_watches()
    assert [ended(each) for each in await asyncio.gather(*(pocket.until_polled(name, over) for name in names))] == 4 * [
        {"exitCode": 3, "reason": "Error"}
    ]
    faults.clear()


async def test_a_pod_bound_by_hand_does_not_get_gpus_that_are_not_there(pocket: Pocket) -> None:
    result = await pocket.run(pod(container={"resources": {"limits": {GPU: 3}}}, nodeName="pocket"))
    assert (result["status"]["phase"], result["status"]["reason"]) == ("Failed", f"OutOf{GPU}")


async def test_the_log_is_followed_until_the_end(pocket: Pocket) -> None:
    await pocket.create(pod("echo one; sleep 0.2; echo two >&2; exit 5"))
    await pocket.until("p", running)
    assert await pocket.logs("p", follow=True) == "one\ntwo\n"
    assert await pocket.logs("p", tail_lines=1) == "two\n"


async def test_the_log_of_a_container_that_has_not_started(pocket: Pocket) -> None:
    await pocket.create(pod(container={"image": "Not:An:Image"}))
    await pocket.until("p", waiting("InvalidImageName"))
    with pytest.raises(ApiError) as caught:
        await pocket.logs("p")
    assert caught.value.message == 'container "main" in pod "p" is waiting to start: InvalidImageName'


async def test_a_signal_as_a_fault(pocket: Pocket) -> None:
    await pocket.create(pod("exec sleep 1000"))
    await pocket.until("p", running)
    pocket.kubelet.signal("default", "p", signal.SIGKILL)
    assert ended(await pocket.until("p", over)) == {"exitCode": 137, "reason": "Error"}


async def test_a_lost_node_says_nothing_and_leaves_nothing(pocket: Pocket) -> None:
    uid = (await pocket.create(pod("sleep 1000")))["metadata"]["uid"]
    await pocket.until("p", running)
    await pocket.kubelet.lose()
    assert (await pocket.get("p"))["status"]["phase"] == "Running"
    assert await pocket.processes(uid) == []


async def test_what_an_earlier_kubelet_ran_is_not_run_again(pocket: Pocket, tmp_path: Path) -> None:
    await pocket.run(pod(name="over"))
    await pocket.create(pod("sleep 1000"))
    await pocket.until("p", running)
    await pocket.kubelet.lose()
    successor = Kubelet(pocket.client, tmp_path / "other", directory=tmp_path)
    await successor.start()
    lost = await pocket.until("p", over)
    assert (lost["status"]["phase"], lost["status"]["reason"]) == ("Failed", "NodeLost")
    assert (await pocket.get("over"))["status"]["phase"] == "Succeeded"
    await successor.stop()


async def test_a_frozen_pod_can_be_deleted(pocket: Pocket) -> None:
    uid = (await pocket.create(pod("sleep 1000 & wait")))["metadata"]["uid"]
    await pocket.until("p", running)
    pocket.kubelet.signal("default", "p", signal.SIGSTOP, every_process=True)
    await pocket.delete("p", grace_seconds=1)
    await pocket.until_gone("p")
    assert await pocket.processes(uid) == []


async def test_a_kubelet_that_stops_while_pods_start(pocket: Pocket) -> None:
    """At every stage of their start; the fixture looks for what is left."""
    for number in range(8):
        await pocket.create(pod("sleep 1000", name=f"p{number}"))


async def test_the_node(pocket: Pocket) -> None:
    node = await pocket.client.get(NODES, None, "pocket")
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "pocket"
    assert node["status"]["allocatable"][GPU] == "2"
    assert {each["type"]: each["status"] for each in node["status"]["conditions"]} == {"Ready": "True"}


async def test_events_tell_the_story(pocket: Pocket) -> None:
    await pocket.run(pod("exit 0", securityContext={"runAsUser": 12345}))
    async with asyncio.timeout(PATIENCE_SECONDS):
        notes: dict[str, str] = {}
        while len(notes) < 3:
            events, _ = await pocket.client.list(EVENTS, "default")
            notes = {event["reason"]: event["note"] for event in events}
    assert notes == {
        "Scheduled": "Successfully assigned default/p to pocket",
        "NotEnforced": "the pocket cluster does not enforce: spec.securityContext.runAsUser",
        "Started": "Started container main",
    }


async def test_nothing_outlives_a_kubelet_that_is_killed(tmp_path: Path) -> None:
    """A process of its own starts a container with a daemon through the shim and is killed without warning."""
    program = f"""
import asyncio, os
from trireme.pocket.kubelet.process import Process
from trireme.pocket.kubelet.shim import Launch

async def main():
    argv = ["sh", "-c", "setsid sleep 1000 & exec sleep 1000"]
    await Process.start(Launch(argv, dict(os.environ), "/", {str(tmp_path / "log")!r}), "orphans")
    print("started", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""
    kubelet = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": _source_root()}
    )
    assert kubelet.stdout is not None
    assert await kubelet.stdout.readline() == b"started\n"
    assert list(procfs.with_environment(f"{MARK}=orphans"))
    kubelet.kill()
    await kubelet.wait()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while list(procfs.with_environment(f"{MARK}=orphans")):  # noqa: ASYNC110  (nobody's children give no event)
            await asyncio.sleep(0.01)


def _source_root() -> str:
    import trireme

    return str(Path(trireme.__file__).parents[1])
