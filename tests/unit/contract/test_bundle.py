import ast
import io
import os
import subprocess
import sys
import zipfile

import pytest
from trireme.contract import bundle, environ, exits


def package(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    return folder


def test_the_same_sources_give_the_same_bytes(tmp_path):
    first = bundle.build(
        package(tmp_path / "a", "b.py", "a.py", "sub/c.py"), package(tmp_path / "x", "__init__.py", "data.txt")
    )
    second = bundle.build(package(tmp_path / "b", "sub/c.py", "a.py", "b.py"), package(tmp_path / "y", "__init__.py"))
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.namelist() == [
            "__main__.py",
            "trireme/__init__.py",
            "trireme/contract/__init__.py",
            "trireme_worker/a.py",
            "trireme_worker/b.py",
            "trireme_worker/sub/c.py",
        ]


def test_the_agent_of_this_checkout_fits_into_a_config_map():
    agent = bundle.agent()
    assert len(agent.digest) == 64
    assert len(agent.content) < 512 * 1024
    with zipfile.ZipFile(io.BytesIO(agent.content)) as archive:
        assert {"trireme_worker/__main__.py", "trireme/contract/wire.py"} <= set(archive.namelist())


@pytest.fixture
def pyz(tmp_path):
    path = tmp_path / "agent.pyz"
    path.write_bytes(bundle.agent().content)
    return path


def test_an_old_python_can_read_the_entry(pyz):
    with zipfile.ZipFile(pyz) as archive:
        ast.parse(archive.read("__main__.py"), feature_version=(3, 4))


def test_an_old_python_is_told_from_a_bug(pyz, tmp_path):
    """A Python that says it is one: the real ones were tried by hand, 3.6 to 3.9."""
    said = tmp_path / "said"
    script = f"import runpy, sys; sys.version_info = (3, 9, 18, 'final', 0); runpy.run_path({str(pyz)!r})"
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, environ.TERMINATION_LOG: str(said)},
        capture_output=True,
        text=True,
        check=False,
    )
    sentence = "python3 is 3.9.18, and the agent needs 3.10 or newer"
    assert (ran.returncode, said.read_text(), ran.stderr) == (
        exits.BAD_ENVIRONMENT,
        sentence,
        f"[agent] {sentence}\n",
    )
