from dataclasses import replace

import pytest
from trireme.contract import environ
from trireme.contract.environ import BadEnvironment, Meeting, PodEnvironment, process_environment
from trireme.contract.ranks import places

POD = PodEnvironment(
    job="digits", namespace="team", role="worker", index=1, slots=2, shards=0, replicas=2, servers=0, attempt=0,
    backend="Horovod",
    coordinator="digits-worker-0:7070", token_file="/t", join_seconds=600, grace_seconds=25, restart_scope="Failed",
    independent=0, pod_ip="10.0.0.2",
    pod_uid="uid", node_name="node",
)  # fmt: skip


def test_what_is_written_is_read():
    assert PodEnvironment.read(POD.write()) == POD
    assert POD.write()["TRIREME_POD_IP"] == "10.0.0.2"


@pytest.mark.parametrize("field", ["domain", "checkpoint_directory"])
def test_what_has_a_default_need_not_be_there(field):
    known = replace(POD, **{field: "something"})
    key = f"TRIREME_{field.upper()}"
    assert key not in POD.write()
    assert PodEnvironment.read(known.write()) == known
    assert PodEnvironment.read({**POD.write(), key: ""}) == POD


def test_a_template_may_choose_interfaces_and_nothing_else_of_a_process():
    assert {"RANK", "MASTER_PORT", "HOROVOD_RANK", "TRIREME_GENERATION"} < environ.PROCESS_KEYS
    assert environ.PROCESS_KEYS.isdisjoint(environ.INTERFACE_KEYS)


def test_all_problems_at_once():
    wrong = {**POD.write(), "TRIREME_INDEX": "-1", "TRIREME_SLOTS": "", "TRIREME_REPLICAS": "two"}
    with pytest.raises(BadEnvironment) as caught:
        PodEnvironment.read(wrong)
    assert str(caught.value) == (
        "TRIREME_INDEX must be a whole number, got '-1'; TRIREME_SLOTS is not set; "
        "TRIREME_REPLICAS must be a whole number, got 'two'"
    )


def test_a_processs_variables():
    place = replace(places([2, 2])[1][0])
    meeting = Meeting(1, "digits-worker-1", "eth0", ("127.0.0.1", 4000), ("10.0.0.1", 5000))
    assert process_environment(place, meeting) == {
        "TRIREME_GENERATION": "1",
        "RANK": "2",
        "WORLD_SIZE": "4",
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "1",
        "GROUP_WORLD_SIZE": "2",
        "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "5000",
        "GLOO_SOCKET_IFNAME": "eth0",
        "NCCL_SOCKET_IFNAME": "eth0",
        "HOROVOD_RANK": "2",
        "HOROVOD_SIZE": "4",
        "HOROVOD_LOCAL_RANK": "0",
        "HOROVOD_LOCAL_SIZE": "2",
        "HOROVOD_CROSS_RANK": "1",
        "HOROVOD_CROSS_SIZE": "2",
        "HOROVOD_HOSTNAME": "digits-worker-1",
        "HOROVOD_CONTROLLER": "gloo",
        "HOROVOD_CPU_OPERATIONS": "gloo",
        "HOROVOD_GLOO_IFACE": "eth0",
        "HOROVOD_GLOO_RENDEZVOUS_ADDR": "127.0.0.1",
        "HOROVOD_GLOO_RENDEZVOUS_PORT": "4000",
    }
