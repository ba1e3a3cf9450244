from __future__ import annotations

from typing import Any

from trireme.controller.jobs import Jobs

KEY = ("team", "digits")


def job(version: int, uid: str = "u") -> dict[str, Any]:
    return {"metadata": {"namespace": "team", "name": "digits", "uid": uid, "resourceVersion": str(version)}}


def test_an_event_that_comes_late_is_no_news() -> None:
    jobs = Jobs()
    assert [jobs.put(job(version)) for version in (9, 10, 10, 9)] == [True, True, False, False]
    assert jobs.get(KEY) == job(10)


def test_the_deletion_of_a_predecessor_leaves_its_successor() -> None:
    jobs = Jobs()
    jobs.put(job(5, uid="second"))
    assert not jobs.drop(KEY, "first")
    assert jobs.drop(KEY, "second")
    assert not jobs.drop(KEY, "second")
    assert jobs.get(KEY) is None


def test_a_job_of_another_controller_is_not_ours_whatever_it_holds() -> None:
    jobs = Jobs()
    theirs = {**job(7, uid="theirs"), "spec": {"managedBy": "kueue.x-k8s.io/multikueue"}, "status": "odd"}
    assert not jobs.put(theirs)
    assert jobs.get(KEY) is None
    jobs.put(job(5))
    assert jobs.put(theirs)  # ours must have gone: this has its name
    assert jobs.get(KEY) is None
    assert jobs.put({**job(8), "spec": {"managedBy": "trireme.dev/operator"}})


def test_jobs_that_a_list_should_have_shown() -> None:
    jobs = Jobs()
    jobs.put(job(5))
    assert jobs.older_than(4) == []
    assert jobs.older_than(5) == [job(5)]
