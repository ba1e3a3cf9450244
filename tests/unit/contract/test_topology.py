"""ring: neighbours in the ring are neighbours in the network."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme.contract.topology import Seat, ring


def seats(*places: str) -> list[Seat]:
    """One seat a place, written `node` or `domain/node`, by index."""
    return [Seat(i, node, domain) for i, (domain, _, node) in enumerate(p.rpartition("/") for p in places)]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (["a", "b", "c"], (0, 1, 2)),
        (["c", "b", "a"], (0, 1, 2)),
        (["a", "a", "a"], (0, 1, 2)),
        (["a", "b", "a", "b"], (0, 2, 1, 3)),
        (["x/a", "y/b", "x/c", "y/d"], (0, 2, 1, 3)),
        (["x/a", "y/b", "x/c", "y/b", "x/a"], (0, 4, 2, 1, 3)),
        (["x/a", "b", "x/c"], (0, 2, 1)),
        (["x/a", "b", "a"], (0, 2, 1)),
        ([], ()),
    ],
    ids=[
        "a node each", "names do not matter", "one node", "two nodes", "two domains", "domains of several nodes",
        "a domain that is not known", "pods of a node that differ in what they know", "nobody",
    ],
)  # fmt: skip
def test_order(places: list[str], expected: tuple[int, ...]) -> None:
    assert ring(seats(*places)) == expected


place = st.sampled_from(["x/a", "x/b", "y/c", "y/d", "e", "f"])


@given(st.lists(place, min_size=1, max_size=30).flatmap(lambda found: st.permutations(seats(*found))))
def test_a_permutation_with_worker_0_first_and_neighbours_adjacent(shuffled: list[Seat]) -> None:
    by_index = {seat.index: seat for seat in shuffled}
    order = ring(shuffled)
    assert sorted(order) == sorted(by_index)
    assert order[0] == 0
    for what in ("node", "domain"):
        runs = [key for key, _ in groupby(getattr(by_index[index], what) for index in order)]
        assert len(runs) == len(set(runs))
