"""What a pod's agent says of the parameter server's views, without the agent: the board's answers over HTTP."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from support.psgroup import Board
from trireme.contract import codec, wire
from trireme.contract.wire import Serving

KEY = "agent-key"


@contextlib.contextmanager
def agent(board: Board) -> Iterator[str]:
    """The URL of an agent that says what the board says."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = codec.decode(Serving, self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(codec.encode(board.announce(said)))

        def do_GET(self) -> None:
            asked = {key: int(values[0]) for key, values in parse_qs(urlsplit(self.path).query).items()}
            self._answer(codec.encode(board.view(**asked)))

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, body: bytes) -> None:
            right = wire.authorized(self.headers["Authorization"], KEY) and urlsplit(self.path).path == wire.VIEW_PATH
            self.send_response(200 if right else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):  # a client that is shut down does not wait for its view
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield "http://{}:{}".format(*server.server_address)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
