#!/usr/bin/env python3
"""Puts 10,605 rated sentences of film reviews where the text examples look for them: `<prefix>/share/trireme`.

They are in the source package of vaderSentiment 3.3.2 (Hutto and Gilbert 2014; MIT), not in its wheel, so that no
dependency brings them. pip fetches the package from where it fetches all others; nothing of it is installed.

    python images/worker/fetch_sentences.py                       # for this interpreter
    python images/worker/fetch_sentences.py --prefix /opt/venv    # for another one, which need not have pip

A line of the file is `<number> TAB <mean rating, -4 to 4> TAB <sentence>`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE, SDIST_SHA256 = "vaderSentiment==3.3.2", "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
MEMBER = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
DESTINATION = "share/trireme/film-sentences.tsv"


def fetch(folder: Path) -> bytes:
    """The source package. Raises SystemExit when it is not the one that is meant."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{PACKAGE} --hash=sha256:{SDIST_SHA256}\n")
    options = ["--quiet", "--no-deps", "--no-binary=:all:", "--require-hashes", f"--dest={folder}"]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, f"--requirement={requirements}"], check=True)
    (found,) = folder.glob("*.tar.gz")
    content = found.read_bytes()
    if (digest := hashlib.sha256(content).hexdigest()) != SDIST_SHA256:
        raise SystemExit(f"{found.name} has the SHA-256 {digest}, expected {SDIST_SHA256}")
    return content


def member(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        content = files.extractfile(name)
        if content is None:
            raise SystemExit(f"{name} is not a file of its archive")
        return content.read()


def main() -> None:
    parser = argparse.ArgumentParser(description="Fetch the sentences that the text examples train on.")
    parser.add_argument("--prefix", type=Path, default=Path(sys.prefix), help="of the interpreter that will read them")
    destination = parser.parse_args().prefix / DESTINATION
    with tempfile.TemporaryDirectory() as folder:
        sentences = member(member(fetch(Path(folder)), INNER), MEMBER).replace(b"\r\n", b"\n")
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.write_bytes(sentences)
    print(f"{len(sentences.splitlines())} sentences in {destination}")


if __name__ == "__main__":
    main()
