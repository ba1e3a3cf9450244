"""agent.pyz: the contract and the worker package in one zip, the same bytes wherever it is built.

The operator puts it into a ConfigMap; `python3 agent.pyz` runs it and user code imports `trireme_worker` from it. It
knows nothing of what is inside except where the packages lie.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trireme.contract import environ, exits

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold: real ones would change the hash from build to build."""
_WORKER = "trireme_worker"
OLDEST = (3, 10)
"""Python that the agent and the contract run on."""
_MAIN = f"""\
import os
import sys

if sys.version_info < {OLDEST}:
    said = "python3 is %d.%d.%d, and the agent needs %d.%d or newer" % (sys.version_info[:3] + {OLDEST})
    sys.stderr.write("[agent] " + said + "\\n")
    path = os.environ.get("{environ.TERMINATION_LOG}", "{environ.TERMINATION_PATH}")
    if "{environ.TERMINATION_LOG}" in os.environ or os.path.exists(path):
        with open(path, "w") as file:
            file.write(said)
    sys.exit({exits.BAD_ENVIRONMENT})

from {_WORKER}.__main__ import main

main()
"""
"""Any Python 3 can read it: what is imported needs OLDEST, and would fail without a word to the operator."""


@dataclass(frozen=True)
class Agent:
    content: bytes
    digest: str
    """SHA-256 of the content, hexadecimal."""


@functools.cache
def agent() -> Agent:
    """The agent of this installation. Raises FileNotFoundError when the worker package is not installed beside it."""
    content = build(_worker_package(), Path(__file__).parent)
    return Agent(content, hashlib.sha256(content).hexdigest())


def build(worker_package: Path, contract_package: Path) -> bytes:
    """The zip: both packages' sources and an entry point, sorted, without times."""
    files = {"__main__.py": _MAIN.encode(), "trireme/__init__.py": b""}
    files.update(_sources(contract_package, "trireme/contract"))
    files.update(_sources(worker_package, _WORKER))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, compresslevel=9)
    return buffer.getvalue()


def _sources(package: Path, inside: str) -> Iterator[tuple[str, bytes]]:
    for path in package.rglob("*.py"):
        yield f"{inside}/{path.relative_to(package).as_posix()}", path.read_bytes()


def _worker_package() -> Path:
    spec = importlib.util.find_spec(_WORKER)
    if spec is not None and spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0])
    checkout = Path(__file__).parents[3] / "images" / "worker" / _WORKER
    if checkout.is_dir():
        return checkout
    raise FileNotFoundError(f"the package {_WORKER} is neither installed nor in {checkout}")
