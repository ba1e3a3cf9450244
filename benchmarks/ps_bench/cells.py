"""What is measured, how often, and by whom. Pure."""

from __future__ import annotations

from ps_peers import GLOO, GRPC, HOROVOD, MIB, PEERS, TCP, TORCH_RPC, TRIREME, UNIX, Cell, Peer

KIB = 1024
SIZES = (4 * KIB, 64 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB, 256 * MIB)
SWEPT = ((1, 1), (2, 1))
"""(workers, servers) that are measured at all sizes."""
LAYOUTS = ((2, 2), (3, 1), (4, 1), (4, 2))
LAYOUT_SIZES = (4 * MIB, 64 * MIB)
COLOCATED_WORKERS = 2
ROUND_BYTES = 32 * MIB
"""Of each worker: a round has as many steps as that takes, within STEPS."""
STEPS = (1, 50)
ROUNDS = ((4 * MIB, 7), (64 * MIB, 5))
"""(up to this size, so many rounds)."""
FEWEST_ROUNDS = 3
ONE_MESSAGE_MAX = 16 * MIB
"""Whoever sends all in one message takes part up to here, and without other layouts than SWEPT: it is slow enough."""


def full() -> list[Cell]:
    swept = [(size, *layout) for layout in SWEPT for size in SIZES]
    placed = [(size, *layout) for layout in LAYOUTS for size in LAYOUT_SIZES]
    apart = [Cell(*shape, transport) for transport in (TCP, UNIX) for shape in swept + placed]
    return apart + [colocated(size) for size in SIZES]


def quick() -> list[Cell]:
    """One of each kind, small: does it run?"""
    return [Cell(MIB, 1, 1, UNIX), Cell(4 * MIB, 2, 2, TCP), colocated(4 * MIB)]


def colocated(size: int) -> Cell:
    return Cell(size, COLOCATED_WORKERS, COLOCATED_WORKERS, TCP, colocated=True)


def rounds(size: int) -> int:
    return next((count for limit, count in ROUNDS if size <= limit), FEWEST_ROUNDS)


def steps(size: int) -> int:
    """Of a round."""
    return min(max(ROUND_BYTES // size, STEPS[0]), STEPS[1])


def taking_part(cell: Cell) -> list[Peer]:
    return [peer for peer in PEERS if _takes_part(peer, cell)]


def _takes_part(peer: Peer, cell: Cell) -> bool:
    if cell.colocated:
        return peer in (TRIREME, GLOO, HOROVOD)
    if peer in (GRPC, TORCH_RPC) and (cell.size > ONE_MESSAGE_MAX or (cell.workers, cell.servers) not in SWEPT):
        return False
    return cell.transport in peer.transports and not (peer.allreduce and cell.workers == 1)
