"""The pocket's API server alone, in a process of its own: no scheduler, no kubelet, no operator.

python benchmarks/support/pocket_server.py KUBECONFIG       writes that file once it listens; SIGTERM ends it
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import yaml
from trireme.pocket.apiserver.server import ApiServer


async def main(kubeconfig: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = ApiServer(token="benchmark")
    await server.start()
    unfinished = kubeconfig.with_suffix(".new")
    unfinished.write_text(yaml.safe_dump(server.kubeconfig()))
    unfinished.rename(kubeconfig)
    await stop.wait()
    await server.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
