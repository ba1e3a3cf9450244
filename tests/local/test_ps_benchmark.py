"""benchmarks/ps.py runs, and the two peers that need nothing else move what they should."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_one_cell_of_the_quick_run() -> None:
    command = [sys.executable, str(ROOT / "benchmarks/ps.py"), "--quick", "--transport", "unix"]
    done = subprocess.run([*command, "--peers", "sockets,trireme"], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["summary"]["failed"] == []
    assert [set(cell["peers"]) for cell in result["cells"]] == [{"sockets", "trireme"}]
    assert all(peer["ms"] > 0 for cell in result["cells"] for peer in cell["peers"].values())
