import pytest
from support.scenes import Scene
from trireme.lifecycle import message
from trireme.lifecycle.observe import observe


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.", "Insufficient nvidia.com/gpu"),
        (
            "0/5 nodes are available: 2 node(s) had untolerated taint {a: b}, 3 Insufficient nvidia.com/gpu. "
            "preemption: 0/5 nodes are available: 5 Preemption is not helpful for scheduling.",
            "Insufficient nvidia.com/gpu, node(s) had untolerated taint {a: b}",
        ),
        (
            "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes ...",
            "Insufficient cpu",
        ),
        ("gate example.com/wait is closed", "gate example.com/wait is closed"),
        (
            "0/1 nodes are available: 1 odd, reason with a comma.",
            "0/1 nodes are available: 1 odd, reason with a comma.",
        ),
    ],
    ids=["one", "most-frequent-first", "claims", "not-the-schedulers", "torn"],
)
def test_the_schedulers_sentence_is_cut_to_its_reasons(sentence: str, reason: str) -> None:
    assert message.scheduling_reason(sentence) == reason


def test_pending_names_the_worst_problem_first() -> None:
    scene = Scene(4)
    gpu = scene.pod(3, unschedulable="0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    image = scene.pod(2, node="n", waiting_reason="ImagePullBackOff", waiting_message='Back-off pulling image "x"')
    stranger = scene.pod(1, owner_uid="other")
    earlier = scene.pod(1, owner_uid="other", deleting=True)
    fine = [scene.running(0), scene.pod(1, waiting_reason="ContainerCreating")]
    lines = [
        message.pending(observe(scene.plan, pods, refused=refused), 4)
        for pods, refused in [
            (fine, ""),
            ([*fine, image], ""),
            ([*fine, image, gpu], ""),
            ([fine[0], stranger, image, gpu], ""),
            ([fine[0], earlier], ""),
            ([scene.running(0, plan="older"), gpu], ""),
            (fine, 'pods "digits-worker-3" is forbidden: exceeded quota: team'),
        ]
    ]
    assert lines == [
        "Pending: 1/4 pods run",
        'worker-2: ImagePullBackOff: Back-off pulling image "x"',
        "Pending: 1/4 unschedulable: Insufficient nvidia.com/gpu",
        "Pending: pod digits-worker-1 exists already and belongs to something else: delete it, or rename the job",
        "Pending: waiting for pod digits-worker-1 of an earlier job to go",
        "Pending: replacing 1 pod that an earlier spec made",
        'Pending: the API server refuses: pods "digits-worker-3" is forbidden: exceeded quota: team',
    ]
