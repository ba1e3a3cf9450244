import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme.contract.ranks import Place, places

SLOTS = st.lists(st.integers(1, 9), max_size=30)


def flat(slots: list[int]) -> list[Place]:
    return [place for member in places(slots) for place in member]


def test_two_members_of_different_size():
    assert places([1, 2]) == (
        (Place(0, 3, 0, 1, 0, 2, 0, 2),),
        (Place(1, 3, 0, 2, 1, 2, 1, 2), Place(2, 3, 1, 2, 0, 1, 1, 2)),
    )


@given(SLOTS)
def test_ranks_are_dense_and_follow_the_members(slots):
    found = flat(slots)
    assert [place.rank for place in found] == list(range(sum(slots)))
    assert {place.size for place in found} <= {sum(slots)}
    assert [len(member) for member in places(slots)] == slots


@given(SLOTS)
def test_local_and_group_places_count_the_members(slots):
    for group_rank, member in enumerate(places(slots)):
        assert [place.local_rank for place in member] == list(range(len(member)))
        assert {place.local_size for place in member} == {len(member)}
        assert {(place.group_rank, place.group_size) for place in member} == {(group_rank, len(slots))}


@given(SLOTS)
def test_cross_ranks_are_dense_among_equal_local_ranks(slots):
    for local_rank in range(max(slots, default=0)):
        peers = [place for place in flat(slots) if place.local_rank == local_rank]
        assert [place.cross_rank for place in peers] == list(range(len(peers)))
        assert {place.cross_size for place in peers} == {len(peers)}


@pytest.mark.parametrize("slots", [[0], [1, -1], [2, 0, 2]], ids=str)
def test_a_member_without_slots_is_refused(slots):
    with pytest.raises(ValueError, match="at least one slot"):
        places(slots)
