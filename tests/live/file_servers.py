"""Servers for debuginfod_test.py, all on loopback: the real debuginfod, and one that misbehaves."""
from __future__ import annotations

import http.server
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
import urllib.request
from typing import Callable, Dict, List, Sequence, Union

import makecore

READY_TIMEOUT = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Debuginfod:
    """Debian's debuginfod over some folders; ends with the block it is used in."""

    def __init__(self, folders: Sequence[str], log: str) -> None:
        if shutil.which("debuginfod") is None:
            raise makecore.CannotMake("no debuginfod")
        self.port, self.log = free_port(), log
        self.url = "http://127.0.0.1:%d" % self.port
        self._file = open(log, "wb")
        self._server = subprocess.Popen(
            ["debuginfod", "-v", "-p", str(self.port), "-d", ":memory:", "-t", "0", "-g", "0", "-F",
             *folders], stdin=subprocess.DEVNULL, stdout=self._file, stderr=self._file,
            env=dict(os.environ, DEBUGINFOD_URLS=""))

    def __enter__(self) -> "Debuginfod":
        end = time.monotonic() + READY_TIMEOUT
        while not self._ready():
            if self._server.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise makecore.WentWrong("debuginfod did not become ready")
            time.sleep(0.05)  # between looks, not instead of one
        return self

    def _ready(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self.url + "/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return False
        return "\nready 1" in text and 'thread_work_total{role="traverse"} 1' in text \
            and 'thread_work_pending{role="scan"} 0' in text

    def __exit__(self, *_: object) -> None:
        self._server.terminate()
        self._server.wait(10)
        self._file.close()

    def asked(self) -> List[str]:
        """The requests for files so far, as the server's log has them."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return [line.strip() for line in log if "GET /buildid/" in line]


def section_of(path: str, name: str) -> bytes:
    """A section of a 64-bit ELF file; empty when it has none."""
    with open(path, "rb") as file:
        data = file.read()
    at, = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    rows = [struct.unpack_from("<IIQQQQ", data, at + i * size) for i in range(count)]
    for row in rows:
        start = rows[names][4] + row[0]
        if data[start:data.index(b"\0", start)].decode() == name:
            return data[row[4]:row[4] + row[5]]
    return b""


class Misbehaving:
    """Answers each request in one wrong way: stall, slow, wrong, html, endless, error, hangup."""

    def __init__(self, manner: str, wrong_file: str = "/bin/true") -> None:
        self.asked: List[str] = []
        self.first = threading.Event()
        self._over = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.first.set()
                try:
                    getattr(outer, manner)(self, wrong_file)
                except OSError:
                    pass  # the client went away

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> "Misbehaving":
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def _head(self, handler: http.server.BaseHTTPRequestHandler, size: int = -1,
              kind: str = "application/octet-stream") -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        if size >= 0:
            handler.send_header("Content-Length", str(size))
        handler.end_headers()

    def stall(self, _handler: http.server.BaseHTTPRequestHandler, _file: str) -> None:
        self._over.wait(60)

    def slow(self, handler: http.server.BaseHTTPRequestHandler, _file: str) -> None:
        self._head(handler, 1 << 20)
        while not self._over.wait(1):
            handler.wfile.write(b"\x7f")

    def wrong(self, handler: http.server.BaseHTTPRequestHandler, file: str) -> None:
        with open(file, "rb") as other:
            content = other.read()
        self._head(handler, len(content))
        handler.wfile.write(content)

    def html(self, handler: http.server.BaseHTTPRequestHandler, _file: str) -> None:
        page = b"<!DOCTYPE html><html><body>Please log in to the guest network</body></html>"
        self._head(handler, len(page), "text/html")
        handler.wfile.write(page)

    def endless(self, handler: http.server.BaseHTTPRequestHandler, _file: str) -> None:
        self._head(handler)
        while not self._over.wait(0.02):  # 3 MB/s each: enough not to be cut as too slow
            handler.wfile.write(b"\x7fELF" * 16384)

    def error(self, handler: http.server.BaseHTTPRequestHandler, _file: str) -> None:
        handler.send_error(500)

    def hangup(self, handler: http.server.BaseHTTPRequestHandler, _file: str) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)


Part = Union[bytes, int]  # what is sent, or an HTTP status


class TooLarge(Misbehaving):
    """Has the programs (by build-id), says of every debug file that it is too large (or begins to
    send 1 GiB of it), and of sections what `part(build_id, name)` makes of them."""

    def __init__(self, programs: Dict[str, str], part: Callable[[str, str], Part],
                 trickle: bool = False) -> None:
        self._programs, self._part, self._trickle = programs, part, trickle
        super().__init__("answer")

    def answer(self, handler: http.server.BaseHTTPRequestHandler, _file: str) -> None:
        _, _, build_id, kind, *rest = handler.path.split("/")
        part: Part = 404
        if build_id in self._programs:
            part = 406
            if kind == "debuginfo" and self._trickle:
                self._head(handler, 1 << 30)
                while not self._over.wait(0.05):  # 1.2 MB a second
                    handler.wfile.write(bytes(1 << 16))
                return
            if kind == "executable":
                with open(self._programs[build_id], "rb") as program:
                    part = program.read()
            if kind == "section":
                part = self._part(build_id, rest[0])
        if isinstance(part, int):
            handler.send_error(part)
            return
        self._head(handler, len(part))
        handler.wfile.write(part)
