import pytest
from support.scenes import Scene
from trireme.contract.wire import JobReport, Phase
from trireme.lifecycle import message
from trireme.lifecycle.observe import Refusal, observe
from trireme.plan.plan import Unavailable


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
    stranger = scene.pod(1, owner_uid="other", job="")
    going = scene.pod(1, owner_uid="other", job="", deleting=True)
    earlier = scene.pod(1, owner_uid="other")
    fine = [scene.running(0), scene.pod(1, waiting_reason="ContainerCreating")]
    scenes = [
        observe(scene.plan, pods, refused=refused)
        for pods, refused in [
            (fine, None),
            ([*fine, image], None),
            ([*fine, image, gpu], None),
            ([fine[0], stranger, image, gpu], None),
            ([fine[0], going], None),
            ([fine[0], earlier], None),
            ([scene.running(0, plan="older"), gpu], None),
            (fine, Refusal('pods "digits-worker-3" is forbidden: exceeded quota: team')),
            ([], Refusal("Service tj-digits exists already", "NameTaken")),
        ]
    ]
    assert [message.pending(observed, 4) for observed in scenes] == [
        "Pending: 1/4 pods run",
        'worker-2: ImagePullBackOff: Back-off pulling image "x"',
        "Pending: 1/4 unschedulable: Insufficient nvidia.com/gpu",
        "Pending: pod digits-worker-1 exists already and belongs to something else: delete it, or rename the job",
        "Pending: waiting for pod digits-worker-1 of an earlier job to go",
        "Pending: waiting for pod digits-worker-1 of an earlier job to go",
        "Pending: replacing 1 pod that an earlier spec made",
        'Pending: the API server refuses: pods "digits-worker-3" is forbidden: exceeded quota: team',
        "Pending: Service tj-digits exists already",
    ]
    assert [message.pending_reason(observed) for observed in scenes] == [
        "PodsPending", "ImagePullBackOff", "Unschedulable", "NameTaken", "PodsPending", "PodsPending",
        "PodsPending", "Refused",
        "NameTaken",
    ]  # fmt: skip


def test_who_holds_pods_back_is_named() -> None:
    scene = Scene(3)
    gated = [scene.running(0), scene.pod(1, gated=True), scene.pod(2, gated=True)]
    observed = observe(scene.plan, gated)
    assert [message.pending(observed, 3, queue) for queue in ("team", None)] == [
        "Pending: 2/3 wait for admission by queue team",
        "Pending: 2/3 are held back by a scheduling gate",
    ]
    assert (message.pending_reason(observed), message.unplaced_reason(observed)) == ("PodsPending", "SchedulingGated")


def test_a_gang_that_cannot_be_had_comes_first() -> None:
    scene = Scene()
    missing = Unavailable("GangUnavailable", "gang Volcano needs it")
    observed = observe(scene.plan, [scene.pod(0, unschedulable="no")], refused=Refusal("quota"), unavailable=missing)
    assert message.pending(observed, 2) == "Pending: gang Volcano needs it"
    assert (message.pending_reason(observed), message.unplaced_reason(observed)) == ("GangUnavailable",) * 2


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            'container has runAsNonRoot and image will run as root (pod: "digits-worker-0_team(1)", container: main)',
            "container has runAsNonRoot and image will run as root",
        ),
        (
            "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root "
            '(pod: "digits-worker-0_team(1-2)", container: trainer)',
            "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root",
        ),
    ],
    ids=["root", "a-name"],
)
def test_an_image_that_runs_as_root_is_told_the_way_out(said: str, told: str) -> None:
    pod = Scene().pod(0, node="n", waiting_reason="CreateContainerConfigError", waiting_message=said)
    assert message.blocked(pod) == (
        f"worker-0: CreateContainerConfigError: {told}: "
        "set runAsUser in the template's securityContext, or runAsNonRoot: false to allow root"
    )


def test_a_silent_coordinator_is_told() -> None:
    scene = Scene()
    pods = [scene.running(0), scene.running(1)]
    report = JobReport(Phase.FORMING, 0, missing=("worker-1",))
    lines = [message.running(observe(scene.plan, pods, report=report, silent=silent), 2) for silent in (False, True)]
    assert lines == [
        "Running: waiting for worker-1 to join",
        "Running: 2/2 pods; no progress is known: the coordinator does not answer the operator",
    ]
