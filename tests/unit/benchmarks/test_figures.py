"""The arithmetic of benchmarks/ps.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ps_bench import cells, figures
from ps_bench.figures import Measured, Round
from ps_peers import GLOO, GRPC, HOROVOD, MIB, PEERS, SOCKETS, TORCH_RPC, TRIREME, UNIX, Cell, chunks

CELL = Cell(4 * MIB, 2, 1, UNIX)
COLOCATED = cells.colocated(4 * MIB)


def measured(*seconds: float, peak: int = 4 * MIB) -> Measured:
    return Measured(tuple(Round(each, each / 2) for each in seconds), peak, MIB)


def test_figures_are_medians_over_what_all_workers_push_and_pull() -> None:
    assert figures.figures(CELL, measured(0.004, 0.002, 0.8)) == {
        "ms": 4.0,
        "gb_per_s": 4.194,
        "cpu_s_per_gb": 0.119,
        "worker_peak_mib": 1.0,
        "server_peak_mib": 4.0,
        "server_peak_in_shards": 1.0,
    }


def test_who_has_no_server_has_no_peak_of_one() -> None:
    found = figures.figures(COLOCATED, measured(1.0, peak=0))
    assert not {"server_peak_mib", "server_peak_in_shards"} & set(found)


def test_a_speedup_is_taken_within_rounds() -> None:
    """The machine is ten times as slow in the second round, for both."""
    ours, theirs = measured(1.0, 10.0, 1.0).rounds, measured(2.0, 20.0, 3.0).rounds
    assert figures.speedup(ours, theirs) == {"median": 2.0, "min": 2.0, "max": 3.0}


def test_all_targets_reached() -> None:
    others = {peer: measured(3.0) for peer in PEERS if not peer.allreduce}
    apart = figures.row(CELL, others | {TRIREME: measured(1.0)})
    together = figures.row(COLOCATED, {TRIREME: measured(1.0), GLOO: measured(1.0), HOROVOD: measured(1.0)})
    verdict = figures.verdict([apart, together])
    assert verdict == {"reached": {target.key: True for target in figures.TARGETS}, "not_reached": []}


@pytest.mark.parametrize(
    ("cell", "peers", "missed"),
    [
        pytest.param(
            CELL,
            {TRIREME: measured(2.0), SOCKETS: measured(1.0)},
            "bare_sockets_0.7: 4 MiB, 2 workers, 1 servers, unix: 0.50 of 0.7",
            id="too slow",
        ),
        pytest.param(
            CELL,
            {TRIREME: measured(1.0), SOCKETS: measured(1.0)},
            "grpc_3x: 4 MiB, 2 workers, 1 servers, unix: not measured",
            id="a peer failed",
        ),
        pytest.param(
            CELL,
            {GRPC: measured(1.0)},
            "memory_two_shards_and_buffers: 4 MiB, 2 workers, 1 servers, unix: not measured",
            id="Trireme failed",
        ),
        pytest.param(
            CELL,
            {TRIREME: measured(1.0, peak=21 * MIB)},
            "memory_two_shards_and_buffers: 4 MiB, 2 workers, 1 servers, unix: 21.0 MiB, 20.0 allowed",
            id="too much memory",
        ),
        pytest.param(
            COLOCATED,
            {TRIREME: measured(1.1), HOROVOD: measured(1.0)},
            "colocated_horovod_1x: 4 MiB, 2 workers, 2 servers, colocated: 0.91 of 1",
            id="slower than allreduce",
        ),
    ],
)
def test_what_is_not_reached_is_said(cell: Cell, peers: dict, missed: str) -> None:
    verdict = figures.verdict([figures.row(cell, peers)])
    assert missed in verdict["not_reached"]
    assert verdict["reached"][missed.partition(":")[0]] is False


def test_small_messages_are_not_judged() -> None:
    row = figures.row(Cell(MIB, 1, 1), {TRIREME: measured(9.0), SOCKETS: measured(1.0)})
    assert figures.verdict([row]) == {"reached": {target.key: False for target in figures.TARGETS}, "not_reached": []}


def test_every_size_is_measured_in_every_way() -> None:
    full = cells.full()
    assert len(set(full)) == len(full)
    for transport in ("tcp", "unix"):
        assert {cell.size for cell in full if cell.transport == transport} >= set(cells.SIZES)
        assert {cell.workers for cell in full if cell.transport == transport} == {1, 2, 3, 4}
        assert {cell.servers for cell in full if cell.transport == transport} == {1, 2}
    assert [cell.size for cell in full if cell.colocated] == list(cells.SIZES)


@pytest.mark.parametrize(
    ("cell", "without"),
    [
        pytest.param(Cell(MIB, 2, 1), set(), id="everybody by TCP"),
        pytest.param(Cell(MIB, 1, 1), {GLOO, HOROVOD}, id="no allreduce of one"),
        pytest.param(CELL, {GLOO, HOROVOD}, id="no allreduce by AF_UNIX"),
        pytest.param(Cell(256 * MIB, 2, 1), {GRPC, TORCH_RPC}, id="one message is not made as long as that"),
        pytest.param(Cell(MIB, 4, 2), {GRPC, TORCH_RPC}, id="one message is sent in the plain layouts"),
        pytest.param(COLOCATED, set(PEERS) - {TRIREME, GLOO, HOROVOD}, id="colocated against allreduce alone"),
    ],
)
def test_who_takes_part(cell: Cell, without: set) -> None:
    assert set(PEERS) - set(cells.taking_part(cell)) == without


@given(st.integers(1, 2**30))
def test_rounds_and_steps_are_bounded(size: int) -> None:
    assert 3 <= cells.rounds(size) <= 9
    assert 1 <= cells.steps(size) <= 50


@given(st.integers(0, 300), st.integers(1, 70))
def test_chunks_cover_everything_once(length: int, chunk: int) -> None:
    covered = [at for piece in chunks(length, chunk) for at in range(piece.start, piece.stop)]
    assert covered == list(range(length))


@given(st.integers(1, 1000), st.integers(1, 4))
def test_parts_of_servers_cover_everything_once(items: int, servers: int) -> None:
    cell = Cell(items * servers * 4, 1, servers)
    covered = [at for server in range(servers) for at in range(cell.part(server).start, cell.part(server).stop)]
    assert covered == list(range(items * servers))
