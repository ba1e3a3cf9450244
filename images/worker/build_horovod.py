#!/usr/bin/env python3
"""Builds the Horovod wheel once and caches it outside the checkout.

Horovod has had no release since 2023; three changed lines make 0.28.1 compile against torch 2.13, and a fourth makes it
small (docs/adr/0003).
The worker image, `make` and CI all call this script and install what it prints: the path of the wheel.

    python images/worker/build_horovod.py             # build for this interpreter, or take the cached wheel
    python images/worker/build_horovod.py --nccl      # GPU images: collectives through NCCL

The cache is `$TRIREME_CACHE` (default `~/.cache/trireme`), one folder per key; the key covers the versions, the Python
ABI, the machine, the build options and the patch, so that a change of any of them builds anew. Needs a C++ compiler and
torch installed in the interpreter that runs it; build tools go to a throw-away virtual environment.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
from pathlib import Path

HOROVOD = "0.28.1"
SDIST_SHA256 = "92a43f5a94c43907a56805bad15f19700c62ffc83b7ca483f9e104e229f67ef0"
BUILD_TOOLS = ("setuptools==80.9.0", "wheel==0.48.0", "packaging==26.3", "cmake==3.28.4")
PATCH = (  # (file, old, new)
    # torch 2.13's headers need C++20, and gloo must agree on the ABI of std::string_view.
    ("CMakeLists.txt", "set(CMAKE_CXX_STANDARD 14)", "set(CMAKE_CXX_STANDARD 20)"),
    ("horovod/torch/CMakeLists.txt", "set(CMAKE_CXX_STANDARD 14)", "set(CMAKE_CXX_STANDARD 20)"),
    ("third_party/gloo/CMakeLists.txt", "-std=c++11", "-std=c++17"),
    # No debug information: it would be 62 of 64 MB, and a third of the compiler's work.
    ("CMakeLists.txt", '"-O2" "-O3" CMAKE_CXX_FLAGS_REL', '"-O2 -g" "-O3" CMAKE_CXX_FLAGS_REL'),
)
OPTIONS = {
    "HOROVOD_WITH_PYTORCH": "1",
    "HOROVOD_WITH_GLOO": "1",
    "HOROVOD_WITHOUT_MPI": "1",
    "HOROVOD_WITHOUT_TENSORFLOW": "1",
    "HOROVOD_WITHOUT_MXNET": "1",
}


def say(text: str) -> None:
    print(f"build_horovod: {text}", file=sys.stderr, flush=True)


def key(options: dict[str, str]) -> str:
    """Short hash of everything that the wheel's bytes depend on."""
    facts = {
        "horovod": HOROVOD,
        "torch": importlib.metadata.version("torch"),
        "abi": sysconfig.get_config_var("SOABI"),
        "machine": platform.machine(),
        "tools": BUILD_TOOLS,
        "patch": PATCH,
        "options": options,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def fetch(python: Path, into: Path) -> Path:
    """Downloads and unpacks the source distribution; returns its top folder."""
    pip = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:", "--no-build-isolation"]
    subprocess.run([*pip, f"--dest={into}", f"horovod=={HOROVOD}"], check=True, stdout=sys.stderr)
    archive = into / f"horovod-{HOROVOD}.tar.gz"
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SDIST_SHA256:
        raise SystemExit(f"build_horovod: {archive.name} has sha256 {found}, expected {SDIST_SHA256}: not building it")
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    return into / f"horovod-{HOROVOD}"


def patch(source: Path) -> None:
    for name, old, new in PATCH:
        text = (source / name).read_text()
        if text.count(old) != 1:
            raise SystemExit(f"build_horovod: {name} has {text.count(old)} times {old!r}, expected once")
        (source / name).write_text(text.replace(old, new))


def build(into: Path, options: dict[str, str]) -> Path:
    """Builds the wheel into the folder `into`, which appears only when it is complete."""
    with tempfile.TemporaryDirectory(prefix="trireme-horovod-") as scratch:
        work = Path(scratch)
        venv.create(work / "venv", with_pip=True)
        python = work / "venv/bin/python"
        # The build must see the very torch that it will run with: link our packages behind the build tools.
        site = Path(
            subprocess.check_output([python, "-c", "import site; print(site.getsitepackages()[0])"], text=True).strip()
        )
        (site / "torch-of-the-caller.pth").write_text(sysconfig.get_path("purelib") + "\n")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *BUILD_TOOLS], check=True, stdout=sys.stderr)
        source = fetch(python, work)
        patch(source)
        say(f"compiling Horovod {HOROVOD} (about 3 minutes on two cores; log on failure) ...")
        env = {**os.environ, **options, "PATH": f"{work / 'venv/bin'}{os.pathsep}{os.environ['PATH']}"}
        env["MAKEFLAGS"] = f"-j{os.cpu_count()}"  # not those of a make that has called
        pip = [python, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
        done = subprocess.run(
            [*pip, f"--wheel-dir={work / 'out'}", str(source)],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            sys.stderr.write(done.stdout[-20_000:])
            raise SystemExit(
                f"build_horovod: the build failed with exit code {done.returncode}; its last output stands above"
            )
        (wheel,) = (work / "out").glob("horovod-*.whl")
        into.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(dir=into.parent, prefix=".partial-"))
        shutil.copy2(wheel, staged)
        try:
            staged.rename(into)
        except OSError:  # another build of the same key was faster; its wheel is as good
            shutil.rmtree(staged)
    return into / wheel.name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--nccl", action="store_true", help="GPU collectives through NCCL (needs CUDA and NCCL headers)"
    )
    arguments = parser.parse_args()
    options = {**OPTIONS, **({"HOROVOD_GPU_OPERATIONS": "NCCL"} if arguments.nccl else {})}
    cache = Path(os.environ.get("TRIREME_CACHE") or Path.home() / ".cache/trireme") / "horovod" / key(options)
    cached = sorted(cache.glob("horovod-*.whl"))
    print(cached[0] if cached else build(cache, options))


if __name__ == "__main__":
    main()
