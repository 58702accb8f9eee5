"""A web server on this machine that answers, or fails, as a test tells it to."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serves `files` (name -> bytes) at `url`; `asked` lists (name, Range header or None) of every request.

    ranges: whether it answers with 206. status: answer every request with that instead. cuts: how many bytes the first,
    second, ... response carries before the connection is closed.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.ranges = True
        self.status: int | None = None
        self.cuts: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, *_: object) -> None:
                """Keeps the tests' output clean; `asked` has what matters."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        name, span = request.path.lstrip("/"), request.headers.get("Range")
        self.asked.append((name, span))
        if self.status or name not in self.files:
            request.send_error(self.status or 404)
            return
        data, start = self.files[name], 0
        if span and self.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", span)[1])
        if start and start >= len(data):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(data)}")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        body = data[start:]
        request.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)
