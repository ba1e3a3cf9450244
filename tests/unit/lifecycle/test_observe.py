from support.scenes import Scene
from trireme.lifecycle.observe import Observed, observe
from trireme.lifecycle.pod import PodPhase


def test_every_pod_is_in_exactly_one_bucket() -> None:
    scene = Scene(10)
    pods = {
        "foreign": scene.running(1, owner_uid="another"),
        "deleting": scene.running(2, deleting=True),
        "unschedulable": scene.pod(3, unschedulable="0/1 nodes are available: 1 Insufficient cpu."),
        "blocked": scene.pod(4, node="n1", waiting_reason="ErrImagePull"),
        "starting": scene.pod(5, node="n1", waiting_reason="ContainerCreating"),
        "running": scene.running(6),
        "succeeded": scene.succeeded(7),
        "failed": scene.failed(8, None, reason="Evicted", deleting=True),
        "gated": scene.pod(9, gated=True),
    }
    expected = Observed(absent=(scene.plan.pods[0],), **{name: (pod,) for name, pod in pods.items()})
    assert observe(scene.plan, reversed(list(pods.values()))) == expected


def test_pods_of_another_plan_are_stale_and_strangers_are_not_ours() -> None:
    scene = Scene(2)
    old = scene.running(0, plan="older")
    beyond = scene.running(7)
    stranger = scene.pod(8, owner_uid="another", phase=PodPhase.RUNNING)
    observed = observe(scene.plan, [stranger, beyond, old])
    assert (observed.stale, observed.running, observed.foreign) == ((old, beyond), (old,), ())


def test_unplaced_counts_what_has_no_node() -> None:
    scene = Scene(5)
    waiting = [scene.pod(1), scene.pod(2, unschedulable="no"), scene.pod(4, gated=True)]
    assert observe(scene.plan, [scene.running(0), scene.pod(3, node="n1"), *waiting]).unplaced == 3
    assert observe(scene.plan, []).unplaced == 5
