from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme_worker.comm.ps.partition import ALIGNED_BYTES, LARGEST_UNIT_BYTES, MIB, Range, Ring, range_key, ranges

SERVERS = st.frozensets(st.integers(0, 40), min_size=1, max_size=12)
COUNTS = st.integers(0, 200)


@given(rows=st.integers(0, 20_000), row=st.integers(1, 3_000), itemsize=st.sampled_from([1, 2, 4, 8]))
def test_every_element_is_in_exactly_one_range(rows: int, row: int, itemsize: int) -> None:
    cut = ranges(rows * row, row=row, itemsize=itemsize)
    bounds = [0, *(part.stop for part in cut)]
    assert [part.start for part in cut] == bounds[:-1]
    assert bounds[-1] == rows * row
    assert all(len(part) > 0 and len(part) % row == 0 for part in cut)


@given(rows=st.integers(1, 5_000), row=st.integers(1, 800_000))
def test_ranges_are_level_and_of_1_to_4_mib(rows: int, row: int) -> None:
    cut = ranges(rows * row, row=row)
    sizes = [len(part) * 4 for part in cut]
    assert max(sizes) - min(sizes) <= max(row * 4, LARGEST_UNIT_BYTES)
    assert max(sizes) <= max(4 * MIB, row * 4)
    assert min(sizes) >= min(1 * MIB, rows * row * 4)


@given(length=st.integers(1, 50_000_000), row=st.integers(1, 64))
def test_ranges_of_short_rows_begin_where_tensors_are_aligned(length: int, row: int) -> None:
    cut = ranges(length // row * row, row=row)
    assert {part.start * 4 % ALIGNED_BYTES for part in cut} <= {0}


@pytest.mark.parametrize(
    ("length", "row", "expected"),
    [
        (0, 1, ()),
        (9_930, 1, (Range(0, 9_930),)),
        (1024 * 1024, 1, (Range(0, 512 * 1024), Range(512 * 1024, 1024 * 1024))),
        (9 * MIB, 3 * MIB, tuple(Range(i * 3 * MIB, (i + 1) * 3 * MIB) for i in range(3))),
    ],
    ids=["nothing", "digits", "4 MiB", "rows of 12 MiB"],
)
def test_tables_are_cut_so(length: int, row: int, expected: tuple[Range, ...]) -> None:
    assert ranges(length, row=row) == expected


@pytest.mark.parametrize(
    ("length", "row", "complaint"),
    [(10, 4, "a table of 10 elements is not made of rows of 4"), (-1, 1, "no -1 elements"), (1, 0, "in rows of 0")],
)
def test_tables_that_do_not_exist_are_refused(length: int, row: int, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ranges(length, row=row)


@given(servers=SERVERS, key=st.text(max_size=20), count=st.integers(0, 15))
def test_owners_are_distinct_servers(servers: frozenset[int], key: str, count: int) -> None:
    owners = Ring(servers).owners(key, count)
    assert len(owners) == len(set(owners)) == min(count, len(servers))
    assert set(owners) <= servers


@given(servers=SERVERS, server=st.integers(0, 40), key=st.text(max_size=20))
def test_a_server_that_comes_or_goes_leaves_the_order_of_the_others(
    servers: frozenset[int], server: int, key: str
) -> None:
    with_it, without = servers | {server}, servers - {server}
    order = Ring(with_it).owners(key, len(with_it))
    assert Ring(without).owners(key, 99) == tuple(s for s in order if s != server) if without else order == (server,)


def test_the_ring_gives_each_server_about_its_share() -> None:
    ring = Ring(range(8))
    held = Counter(ring.owners(range_key("table", index), 1)[0] for index in range(8_000))
    assert set(held) == set(range(8))
    assert all(600 < count < 1_450 for count in held.values()), held


@given(table=st.text(max_size=8), count=COUNTS, servers=st.integers(1, 12), copies=st.integers(1, 4))
def test_primaries_of_a_table_are_level(table: str, count: int, servers: int, copies: int) -> None:
    placed = Ring(range(servers)).place(table, count, copies)
    assert len(placed) == count
    assert all(len(own) == len(set(own)) == min(copies, servers) for own in placed)
    held = Counter(own[0] for own in placed)
    assert all(held[server] - count // servers in (0, 1) for server in range(servers))


@given(table=st.text(max_size=8), count=COUNTS, servers=SERVERS, server=st.integers(0, 40))
def test_a_server_that_comes_or_goes_moves_only_its_share(
    table: str, count: int, servers: frozenset[int], server: int
) -> None:
    with_it, without = servers | {server}, servers - {server}
    if not without:
        return
    before = Ring(with_it).place(table, count, len(with_it))
    after = Ring(without).place(table, count, len(without))
    assert after == tuple(tuple(s for s in own if s != server) for own in before)


def test_backups_are_spread() -> None:
    placed = Ring(range(8)).place("table", 800, 2)
    held = Counter(backup for _, backup in placed)
    assert set(held) == set(range(8))
    assert max(held.values()) < 3 * 100, held


def test_every_process_places_alike() -> None:
    """Python salts its own hash anew in every process."""
    script = "from trireme_worker.comm.ps.partition import Ring; print(Ring(range(5)).place('weights', 20, 2))"
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "7"}
    ran = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == f"{Ring(range(5)).place('weights', 20, 2)}\n"


@pytest.mark.parametrize("servers", [[], [-1, 0]], ids=str)
def test_a_ring_needs_servers(servers: list[int]) -> None:
    with pytest.raises(ValueError, match="a ring needs servers"):
        Ring(servers)
