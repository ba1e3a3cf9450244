"""A parameter server under real agents and their coordinator: servers and workers are killed, and no step is lost.

A test plays the operator: it starts the successor of a pod that ended.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from trireme.contract import exits

if TYPE_CHECKING:
    from conftest import Job, Pod

STEPS, HALF = 8, 4
TARGETS = (1.0, 5.0)
TRAIN = f"""
import os, sys, time, torch
from pathlib import Path
import trireme_worker.comm.ps as ps

client = ps.init()
client.register("w", torch.zeros(600_000), function={{"name": "sgd", "lr": 0.1, "momentum": 0.9}})
values = torch.empty(600_000)
client.resume({{"w": values}})
print("from", client.pushes("w"), flush=True)
while (done := client.pushes("w")) < {STEPS}:
    if done == {HALF}:
        if os.environ.get("SAVES"):
            client.checkpoint()
        print("half", flush=True)
        while not Path("go").exists():
            if Path(f"leave-{{ps.rank()}}").exists():
                sys.exit(int(Path(f"leave-{{ps.rank()}}").read_text()))
            time.sleep(0.02)
    client.wait(client.push_pull("w", values - {TARGETS}[ps.rank()], values))
print("done", flush=True)
print("end", round(float(values.min()), 5), round(float(values.max()), 5), flush=True)
"""
"""Half the squared distance to a worker's own target; it stops half way until it may go on, or is to leave. Says no
goodbye itself."""
SERVER = [sys.executable, "-m", "trireme_worker.comm.ps"]
WORKER = [sys.executable, "-c", TRAIN]


def undisturbed(both: int = STEPS) -> str:
    """What a worker says at its end in Sync: one process with the mean of the gradients says it too. `both`: steps of
    two workers; the rest are worker 0's alone."""
    values = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([values], lr=0.1, momentum=0.9)
    for step in range(STEPS):
        targets = TARGETS if step < both else TARGETS[:1]
        values.grad = sum(values.detach() - target for target in targets) / len(targets)
        optimizer.step()
    return f"end {round(values.item(), 5)} {round(values.item(), 5)}"


class Group:
    """Two workers and the servers of one job."""

    def __init__(
        self, job: Job, servers: int, rule: str = "Sync", backups: int = 0, directory: str = "", **more: str
    ) -> None:
        self._job = job
        mode, _, staleness = rule.partition(":")
        self._options = {
            "replicas": 2, "servers": servers, "independent": 1, "restart_scope": "Failed",
            "TRIREME_PS_SERVERS": str(servers), "TRIREME_PS_BACKUPS": str(backups),
            "TRIREME_PS_CONSISTENCY": mode, "TRIREME_PS_STALENESS": staleness,
            **({"TRIREME_CHECKPOINT_DIRECTORY": directory} if directory else {}), **more,
        }  # fmt: skip
        self.workers = self.work(0, 1)
        self.servers = self.serve(*range(servers))

    def work(self, *indices: int, life: int = 0) -> list[Pod]:
        return self._job.start(WORKER, indices=indices, server_indices=[], life=life, **self._options)  # type: ignore[arg-type]

    def serve(self, *indices: int, life: int = 0) -> list[Pod]:
        return self._job.start(SERVER, indices=[], server_indices=indices, life=life, **self._options)  # type: ignore[arg-type]

    def half(self) -> Group:
        for rank, pod in enumerate(self.workers):
            pod.wait_for(f"[{rank}] half")
        return self

    def kill_rank(self, rank: int) -> None:
        os.kill(self._job.rank(rank), signal.SIGKILL)
        assert self.workers[rank].wait().code == exits.KILLED

    def leave(self, rank: int, code: int) -> None:
        """The worker's script ends half way."""
        path = self._job.folder / f"leave-{rank}"
        path.with_suffix(".new").write_text(str(code))
        path.with_suffix(".new").rename(path)

    def kill_shard(self, index: int) -> None:
        os.kill(self._job.shard(index), signal.SIGKILL)
        assert self.servers[index].wait().code == exits.KILLED

    def go_on(self) -> None:
        (self._job.folder / "go").touch()

    def end(self) -> list[list[str]]:
        """What each worker said since it was last listened to; everybody has ended well."""
        ended = [pod.wait() for pod in (*self.workers, *self.servers)]
        (self._job.folder / "go").unlink()
        assert [end.code for end in ended] == [0] * len(ended), ended
        return [[line.partition("] ")[2] for line in end.stdout] for end in ended[: len(self.workers)]]

    def end_undisturbed(self) -> None:
        assert [said[-1] for said in self.end()] == [undisturbed()] * 2


@pytest.mark.parametrize("what", ["process", "pod"])
def test_a_lost_servers_backup_takes_over_and_its_successor_joins(job: Job, what: str) -> None:
    group = Group(job, servers=2, backups=1).half()
    if what == "process":
        group.kill_shard(0)
    else:
        group.servers[0].process.kill()
        group.servers[0].wait()
    group.servers[1].wait_for_agent("servers [1]")
    (group.servers[0],) = group.serve(0, life=1)
    group.servers[0].wait_for_agent("servers [0, 1]")
    group.go_on()
    group.end_undisturbed()


def test_the_backup_alone_brings_the_training_to_its_end(job: Job) -> None:
    group = Group(job, servers=2, backups=1).half()
    group.kill_shard(1)
    group.servers[0].wait_for_agent("servers [0]")
    group.go_on()
    for rank, pod in enumerate(group.workers):
        pod.wait_for(f"[{rank}] {undisturbed()}")
    del group.servers[1]
    group.end()


def test_without_a_backup_the_checkpoint_counts(job: Job) -> None:
    folder = job.folder / "checkpoints"
    group = Group(job, servers=1, directory=str(folder), SAVES="1").half()
    group.kill_shard(0)
    (group.servers[0],) = group.serve(0, life=1)
    group.go_on()
    group.end_undisturbed()
    shutil.rmtree(folder)


def test_a_suspended_job_goes_on_from_what_its_servers_saved(job: Job) -> None:
    folder = job.folder / "checkpoints"
    group = Group(job, servers=2, directory=str(folder)).half()
    pods = [*group.workers, *group.servers]
    for pod in pods:
        pod.process.send_signal(signal.SIGTERM)
    assert [pod.wait().code for pod in pods] == [exits.TERMINATED] * 4
    group.workers, group.servers = group.work(0, 1, life=1), group.serve(0, 1, life=1)
    group.go_on()
    assert [(said[0], said[-1]) for said in group.end()] == [(f"from {HALF}", undisturbed())] * 2
    shutil.rmtree(folder)


def test_in_sync_the_others_wait_for_the_successor_which_goes_on_from_its_clock(job: Job) -> None:
    group = Group(job, servers=1).half()
    group.kill_rank(1)
    group.go_on()
    (group.workers[1],) = group.work(1, life=1)
    assert [(said[0], said[-1]) for said in group.end()] == [
        ("done", undisturbed()),
        (f"from {HALF}", undisturbed()),
    ]


def test_in_sync_a_worker_that_exits_with_another_code_than_0_is_waited_for(job: Job) -> None:
    group = Group(job, servers=1).half()
    group.leave(1, 1)
    assert group.workers[1].wait().code == 1
    group.go_on()
    (job.folder / "leave-1").unlink()
    (group.workers[1],) = group.work(1, life=1)
    assert [(said[0], said[-1]) for said in group.end()] == [
        ("done", undisturbed()),
        (f"from {HALF}", undisturbed()),
    ]


@pytest.mark.parametrize("lost", [False, True], ids=["", "and a server is lost"])
def test_in_sync_a_worker_that_exits_with_code_0_is_not_waited_for(job: Job, lost: bool) -> None:
    group = Group(job, servers=2, backups=1).half()
    group.leave(1, 0)
    for server in group.servers:
        server.wait_for_agent("worker 1 has ended well")
    if lost:
        group.kill_shard(0)
        (group.servers[0],) = group.serve(0, life=1)
        group.servers[0].wait_for_agent("worker 1 has ended well")
        group.servers[0].wait_for_agent("servers [0, 1]")
    group.go_on()
    assert group.end()[0][-1] == undisturbed(both=HALF)
    (job.folder / "leave-1").unlink()


@pytest.mark.parametrize("rule", ["Bounded:1", "Async"])
def test_in_other_modes_they_go_on_and_the_successor_joins_them(job: Job, rule: str) -> None:
    group = Group(job, servers=1, rule=rule).half()
    group.kill_rank(1)
    group.go_on()
    group.workers[0].wait_for("[0] done")
    (group.workers[1],) = group.work(1, life=1)
    *_, said = group.end()
    joined = {"Bounded:1": [STEPS], "Async": [HALF, STEPS]}  # in Async nobody waits until the lost one leaves the clock
    assert said[0] in [f"from {number}" for number in joined[rule]]
    assert said[-1].startswith("end")


def test_a_worker_that_is_told_to_stop_takes_no_server_along(job: Job) -> None:
    group = Group(job, servers=2).half()
    group.workers[1].process.send_signal(signal.SIGTERM)
    assert group.workers[1].wait().code == exits.TERMINATED
    (group.workers[1],) = group.work(1, life=1)
    group.go_on()
    group.end_undisturbed()


COLOCATED = (
    TRAIN
    + """
import psutil
peers = {each.raddr.ip for each in psutil.Process().net_connections("tcp") if each.raddr}
print("over tcp:", sorted(peers - {"127.0.0.1"}), flush=True)  # that one is the agent
"""
)


def test_a_colocated_shards_own_part_never_crosses_tcp(job: Job) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    pods = job.start(
        [sys.executable, "-c", COLOCATED], replicas=2, colocated=True, independent=1, restart_scope="Failed",
        TRIREME_PS_SERVERS="2", TRIREME_PS_CONSISTENCY="Sync", PATH=path,
    )  # fmt: skip
    (job.folder / "go").touch()
    ended = [pod.wait() for pod in pods]
    (job.folder / "go").unlink()
    assert [(end.code, end.stdout[-1]) for end in ended] == [(0, f"[{rank}] over tcp: []") for rank in range(2)]
