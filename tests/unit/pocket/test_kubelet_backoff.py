"""trireme.pocket.kubelet.container.BackOff: how long a container waits for its next start."""

from __future__ import annotations

from trireme.pocket.kubelet.container import BackOff


def test_the_kubelets_back_off() -> None:
    assert [BackOff().seconds(failures) for failures in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]


def test_it_is_forgotten_after_a_long_run() -> None:
    assert [BackOff().forgets(seconds) for seconds in (1, 599, 601)] == [False, False, True]
