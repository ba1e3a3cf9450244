"""trireme.pocket.kubelet.procfs: process trees, with and without the kernel's help."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from trireme.pocket.kubelet import procfs

TREE = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; print('ready', flush=True); sys.stdin.read()"])
sys.stdin.read()
"""


@pytest.fixture
def tree() -> Iterator[subprocess.Popen[str]]:
    """A child of ours with a child of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", TREE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"MARK": "a tree"}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize("listed", [True, False], ids=["children are listed", "all processes are looked through"])
def test_trees(tree: subprocess.Popen[str], listed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "_CHILDREN_ARE_LISTED", listed)
    (grandchild,) = procfs.children(tree.pid)
    assert tree.pid in procfs.children(os.getpid())
    assert procfs.descendants(tree.pid) == [grandchild]
    assert procfs.children(grandchild) == []


def test_a_process_that_is_gone_has_no_children(tree: subprocess.Popen[str]) -> None:
    tree.kill()
    tree.wait()
    assert procfs.descendants(tree.pid) == []


def test_processes_by_their_environment(tree: subprocess.Popen[str]) -> None:
    assert set(procfs.with_environment("MARK=a tree")) == {tree.pid, *procfs.children(tree.pid)}
    assert list(procfs.with_environment("MARK=another tree")) == []


def test_memory_counts_shared_pages_once_when_it_matters(tree: subprocess.Popen[str]) -> None:
    plain = procfs.memory(tree.pid, limit=1 << 40)
    assert 0 < procfs.memory(tree.pid, limit=0) <= plain
