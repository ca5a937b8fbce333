#!/usr/bin/env python3
"""A client that waits for a server which never answers; the server is not captured.

    sockets_test.py --program build/dev/coldcase --work build/dev/live/sockets

With the side-car of `coldcase capture` the report has to say what the client waits on, since when,
and who has the other end; without it no more than a core tells. Addresses are told only on demand.
Exit status: 0 all is as it should be, 1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import argparse
import glob
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from typing import Any, Dict, List, Tuple

import makecore
from makecore import CannotMake, WentWrong

Json = Dict[str, Any]
REST = 1.2  # seconds of silence before the capture
SERVER = """import socket, sys, time
kind, place = sys.argv[1:]
family = socket.AF_UNIX if kind == 'unix' else socket.AF_INET
with socket.socket(family) as listener:
    listener.bind(place if kind == 'unix' else ('127.0.0.1', 0))
    listener.listen()
    print(place if kind == 'unix' else listener.getsockname()[1], flush=True)
    client, _ = listener.accept()
    while True:
        time.sleep(1000)
"""


class Client:
    """A server that never answers and a client of it, both ended with the object."""

    def __init__(self, kind: str, folder: str, program: str) -> None:
        script = os.path.join(folder, "server.py")
        with open(script, "w", encoding="utf-8") as file:
            file.write(SERVER)
        family = "unix" if kind == "unix" else "tcp"
        self.server = subprocess.Popen([sys.executable, script, family, os.path.join(folder, "s")],
                                       stdout=subprocess.PIPE, text=True)
        assert self.server.stdout is not None
        self.place = self.server.stdout.readline().strip()
        self.client = subprocess.Popen([program, kind, self.place], stdout=subprocess.PIPE, text=True)
        assert self.client.stdout is not None
        if self.client.stdout.readline().strip() != "READY":
            self.end()
            raise WentWrong("the client does not come up")

    def end(self) -> None:
        for process in (self.client, self.server):
            process.kill()
            process.wait()


def analyze(program: str, *words: str) -> Tuple[int, str]:
    done = subprocess.run([program, "analyze", *words], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def capture(program: str, pid: int, folder: str) -> str:
    done = subprocess.run([program, "capture", str(pid), "-o", folder], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=120, check=False)
    cores = [path for path in glob.glob(os.path.join(folder, "core.*"))
             if not path.endswith(".json")]
    if len(cores) != 1:
        denied = "ptrace" in done.stdout or "not permitted" in done.stdout
        raise (CannotMake if denied else WentWrong)("capture: " + done.stdout[-300:])
    return cores[0]


def check(problems: List[str], good: bool, text: str) -> None:
    if not good:
        problems.append(text)


def waited_on(report: Json) -> Json:
    """The resource that the finding's first thread waits for."""
    found = {item["id"]: item for item in report["resources"]}
    waits = [thread["wait"] for thread in report["threads"] if thread.get("wait")]
    return found[waits[0]["on"][0]]


def check_bare(report: Json, problems: List[str]) -> None:
    check(problems, "connection" not in waited_on(report), "tells a connection without a side-car")
    check(problems, len(report["processes"]) == 1, "tells of processes without a side-car")


def check_known(kind: str, client: Client, report: Json, text: str, problems: List[str]) -> None:
    connection = waited_on(report).get("connection", {})
    if kind == "unix":
        check(problems, connection.get("protocol") == "unix", "protocol %s" % connection)
    else:
        check(problems, connection.get("scope") == "loopback", "scope %s" % connection)
        check(problems, str(connection.get("port")) == client.place, "port %s" % connection)
        quiet = connection.get("received_ms")
        if quiet is not None:  # the kernel may refuse to say
            check(problems, REST * 1000 * 0.8 <= quiet < 60_000, "silent for %s ms" % quiet)
            check(problems, connection.get("received_bytes") == 0, "bytes %s" % connection)
            check(problems, "no data received for" in text, "does not say since when")
            asked = kind == "tcp"
            check(problems, ("waits for a reply on a TCP socket" in text) == asked, "says reply")
            check(problems, connection.get("sent_bytes") == (6 if asked else 0), "sent %s" % connection)
    check(problems, "127.0.0.1" not in text + json.dumps(report), "tells an address")
    others = [process for process in report["processes"] if not process["captured"]]
    check(problems, [p.get("pid") for p in others] == [client.server.pid], "other end %s" % others)
    check(problems, "has the other end" in text, "does not tell who has the other end")


def check_endpoints(program: str, client: Client, core: str, folder: str,
                    problems: List[str]) -> None:
    path = os.path.join(folder, "report.json")
    analyze(program, core, "--endpoints", "-q", "-o", path)
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    check(problems, waited_on(report)["connection"].get("peer") == "127.0.0.1:" + client.place,
          "--endpoints: peer %s" % waited_on(report).get("connection"))
    check(problems, report["redaction"]["opted_in"] == ["endpoints"], "not said to be opted in")
    mode = stat.S_IMODE(os.stat(path).st_mode)
    check(problems, mode == 0o600, "written with mode %o" % mode)


def try_once(kind: str, options: argparse.Namespace, program: str) -> List[str]:
    folder = os.path.join(options.work, kind)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    problems: List[str] = []
    client = Client(kind, folder, program)
    try:
        time.sleep(REST)
        core = capture(options.program, client.client.pid, os.path.join(folder, "captured"))
        code, output = analyze(options.program, core, "--format", "json")
        check(problems, code == 2, "exit code %d: %s" % (code, output[-200:]))
        report = json.loads(output)
        check(problems, report["findings"][0]["pattern"] == "blocked-holder", "another pattern")
        text = " ".join(analyze(options.program, core, "--width", "400")[1].split())
        check_known(kind, client, report, text, problems)
        if kind != "unix":
            check_endpoints(options.program, client, core, folder, problems)
        side_car = glob.glob(os.path.join(folder, "captured", "*.side-car.json"))[0]
        os.rename(side_car, side_car + ".away")
        check_bare(json.loads(analyze(options.program, core, "--format", "json")[1]), problems)
    finally:
        client.end()
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the coldcase executable")
    parser.add_argument("--work", required=True, help="folder for builds and cores")
    parser.add_argument("--keep", action="store_true", help="do not delete the cores")
    options = parser.parse_args()
    options.program, options.work = os.path.abspath(options.program), os.path.abspath(options.work)
    if shutil.which("gcc") is None or shutil.which("gcore") is None:
        print("skip: no gcc or no gcore")
        return 77
    makecore.build_program(os.path.join(makecore.PROGRAMS, "sockets", "ask_server.c"),
                           os.path.join(options.work, "built"), "debug")
    failed = tried = 0
    for kind in ("tcp", "tcp-silent", "unix"):
        try:
            problems = try_once(kind, options,
                                os.path.join(options.work, "built", "debug", "ask_server"))
            tried += 1
        except CannotMake as reason:
            print("%-12s skip: %s" % (kind, reason))
            continue
        print("%-12s %s" % (kind, "FAIL" if problems else "ok"), flush=True)
        for problem in problems:
            print("    " + problem)
        failed += bool(problems)
    return 77 if not tried else 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
