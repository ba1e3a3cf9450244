"""Who serves: every change of it is a view with a higher number, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trireme.contract.wire import Serving, View
from trireme_worker.views import NotAShard, Views

A = Serving(0, "a", "10.0.0.1", 4000)
B = Serving(1, "b", "10.0.0.2", 4001)
C = Serving(2, "c", "10.0.0.4", 4003)
AGAIN = Serving(0, "a2", "10.0.0.3", 4002)


def views(*serving: Serving) -> Views:
    made = Views(2, silence_seconds=5)
    for each in serving:
        made.serve(each, 0.0)
    return made


def test_nobody_serves_at_first():
    assert views().view == View(0, 2)


def test_shards_stand_in_the_order_of_their_indices():
    assert views(B, A).view == View(2, 2, (A, B))


def test_who_says_it_again_changes_nothing():
    assert views(A, B, A, B).view == View(2, 2, (A, B))


def test_one_that_falls_silent_is_out_and_may_come_back():
    those = views(A, B)
    those.serve(B, 4.0)
    those.tick(4.9)
    assert those.view.number == 2
    those.tick(5.0)
    assert those.view == View(3, 2, (B,))
    those.serve(A, 6.0)
    assert those.view == View(4, 2, (A, B))


def test_a_successor_takes_the_place_and_its_predecessor_stays_out():
    those = views(A, B, AGAIN)
    those.serve(A, 1.0)
    assert those.view == View(3, 2, (AGAIN, B))


def test_one_that_ended_is_out_at_once_and_for_good():
    those = views(A, B)
    those.ended(0)
    those.ended(0)
    those.serve(A, 1.0)
    assert those.view == View(3, 2, (B,))


def seen(serving: Serving, view: int) -> Serving:
    return replace(serving, view=view)


def test_a_new_coordinator_counts_on_from_what_the_shards_have_seen():
    assert views(seen(B, 7), seen(A, 8)).view == View(9, 2, (A, B))


def test_a_new_coordinator_issues_no_view_before_all_have_had_time_to_say_that_they_serve():
    those = views(seen(B, 7))
    those.serve(seen(B, 7), 4.0)
    those.tick(4.9)
    assert those.view == View(0, 2)
    those.tick(5.0)
    assert those.view == View(8, 2, (B,))
    those.serve(seen(A, 7), 6.0)
    assert those.view == View(9, 2, (A, B))


def test_a_new_coordinator_waits_as_well_where_a_new_shard_was_the_first():
    those = views(AGAIN)
    assert those.view == View(1, 2, (AGAIN,))
    those = Views(3, silence_seconds=5)
    those.serve(AGAIN, 0.0)
    those.serve(seen(B, 7), 1.0)
    assert those.view == View(1, 3, (AGAIN,))
    those.serve(seen(C, 7), 1.5)
    assert those.view == View(8, 3, (AGAIN, B, C))


def test_whoever_is_lost_while_others_are_awaited_is_in_no_view():
    those = views(seen(B, 7))
    those.ended(1)
    those.tick(5.0)
    assert those.view == View(8, 2)


@pytest.mark.parametrize("index", [-1, 2])
def test_a_shard_that_the_job_does_not_have(index):
    with pytest.raises(NotAShard, match=f"server-{index} is none of 2 shards"):
        views(Serving(index, "x", "10.0.0.9", 1))


def test_who_has_finished_is_said_within_the_view():
    those = views(A, B)
    those.finish((1,))
    assert those.view == View(2, 2, (A, B), finished=(1,))
    those.ended(0)
    assert those.view == View(3, 2, (B,), finished=(1,))
