"""The healthy programs of the corpus: how each is started so that it does what it does all day.

A recipe gets an empty folder, starts something and waits until it is up. Nothing here listens outside
the loopback interface, and nothing needs systemd. What is started, and all that it starts, are
descendants of the test, which is a subreaper: daemons that leave their parent stay its own.
"""
from __future__ import annotations

import os
import pty
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Callable, Dict, List

import makecore

READY_TIMEOUT = 30.0
SERVERS = "/usr/sbin:/sbin:/usr/local/sbin"  # where Debian keeps them, not always in PATH


class Missing(Exception):
    """Not on this machine."""


def tool(name: str, *places: str) -> str:
    path = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], SERVERS, *places]))
    if path is None:
        raise Missing("no " + name)
    return path


@dataclass
class Place:
    """An empty folder, and what was opened for the program: closed when it has ended."""
    folder: str
    closing: List[int]

    def file(self, name: str, text: str = "") -> str:
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def subfolder(self, name: str) -> str:
        path = os.path.join(self.folder, name)
        os.makedirs(path, exist_ok=True)
        return path

    def start(self, *command: str, stdin: int = subprocess.DEVNULL, stdout: int = -1,
              user: str = "", **environment: str) -> None:
        names = dict(os.environ, LC_ALL="C.UTF-8", HOME=self.folder, **environment)
        for name in ("LD_PRELOAD", "DEBUGINFOD_URLS", "PYTHONSTARTUP"):
            names.pop(name, None)
        with open(os.path.join(self.folder, "output.txt"), "ab") as output:
            subprocess.Popen(command, cwd=self.folder, env=names, stdin=stdin,
                             stdout=output if stdout == -1 else stdout,
                             stderr=output if stdout == -1 else stdout,
                             start_new_session=True, preexec_fn=makecore.allow_core,
                             user=user or None)

    def pipe(self) -> int:
        """The reading end of a pipe that stays open and empty."""
        reading, writing = os.pipe()
        self.closing += [reading, writing]
        return reading

    def terminal(self) -> int:
        ours, theirs = pty.openpty()
        self.closing += [ours, theirs]
        return theirs

    def on_terminal(self, *command: str, until: bytes = b"", **environment: str) -> None:
        """Runs it with a terminal of its own and waits until that shows `until`."""
        ours, theirs = pty.openpty()
        self.closing += [ours, theirs]
        self.start(*command, stdin=theirs, stdout=theirs, TERM="xterm", **environment)
        shown, end = b"", time.monotonic() + READY_TIMEOUT
        while until and until not in shown:
            os.set_blocking(ours, False)
            try:
                shown += os.read(ours, 4096)
            except BlockingIOError:
                time.sleep(0.05)
            if time.monotonic() > end:
                raise makecore.WentWrong("the terminal shows %r" % shown[-200:])

    def await_true(self, what: str, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + READY_TIMEOUT
        while not holds():
            if time.monotonic() > end:
                with open(os.path.join(self.folder, "output.txt"), errors="replace",
                          encoding="utf-8") as file:
                    raise makecore.WentWrong("no %s: %s" % (what, file.read()[-400:]))
            time.sleep(0.05)

    def await_port(self, port: int) -> None:
        self.await_true("port %d" % port, lambda: answers(port))

    def await_file(self, name: str) -> None:
        self.await_true(name, lambda: os.path.exists(os.path.join(self.folder, name)))


def answers(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.settimeout(1)
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def plain_user() -> str:
    """Somebody other than root for servers that refuse root; empty when we are not root."""
    if os.getuid() != 0:
        return ""
    return "nobody"


# Python


def python(place: Place, code: str) -> None:
    place.start(sys.executable, place.file("program.py", code))
    place.await_file("ready")


READY = "open('ready', 'w').close()\n"


def python_repl(place: Place) -> None:
    place.on_terminal(sys.executable, until=b">>> ", PYTHON_BASIC_REPL="1")


def python_http(place: Place) -> None:
    port = free_port()
    place.start(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port))
    place.await_port(port)


def python_asyncio(place: Place) -> None:
    python(place, "import asyncio\nasync def main():\n"
           "    server = await asyncio.start_server(lambda r, w: None, '127.0.0.1', 0)\n"
           "    await asyncio.get_running_loop().run_in_executor(None, sum, [1, 2])\n"
           "    " + READY + "    await server.serve_forever()\nasyncio.run(main())\n")


def python_executor(place: Place) -> None:
    """An idle executor, and a main thread that waits for its user."""
    reading = place.pipe()
    place.start(sys.executable, "-c",
                "import sys, time\nfrom concurrent.futures import ThreadPoolExecutor\n"
                "with ThreadPoolExecutor(4) as pool:\n"
                "    list(pool.map(time.sleep, [0.1] * 4))\n    " + READY +
                "    sys.stdin.readline()\n", stdin=reading)
    place.await_file("ready")


def python_queue(place: Place) -> None:
    """Consumers at an empty queue, a main thread that sleeps between two looks at the clock."""
    python(place, "import queue, threading, time\nq = queue.Queue()\n"
           "for _ in range(3): threading.Thread(target=q.get, daemon=True).start()\n"
           "time.sleep(0.3)\n" + READY + "while True: time.sleep(300)\n")


def python_pool(place: Place) -> None:
    python(place, "import multiprocessing, signal\nif __name__ == '__main__':\n"
           "    pool = multiprocessing.Pool(2)\n    pool.map(abs, range(4))\n    " + READY +
           "    signal.pause()\n")


def python_pool_reads(place: Place) -> None:
    """As an idle pool, and its parent waits for its user in read()."""
    place.start(sys.executable, "-c", "import multiprocessing, sys\n"
                "pool = multiprocessing.Pool(3)\npool.map(abs, range(4))\n" + READY +
                "sys.stdin.readline()\n", stdin=place.pipe())
    place.await_file("ready")


def python_executor_reads(place: Place) -> None:
    place.start(sys.executable, "-c", "import sys\n"
                "from concurrent.futures import ProcessPoolExecutor\n"
                "pool = ProcessPoolExecutor(2)\nlist(pool.map(abs, range(4)))\n" + READY +
                "sys.stdin.readline()\n", stdin=place.pipe())
    place.await_file("ready")


def python_process_executor(place: Place) -> None:
    python(place, "import signal\nfrom concurrent.futures import ProcessPoolExecutor\n"
           "if __name__ == '__main__':\n    pool = ProcessPoolExecutor(2)\n"
           "    list(pool.map(abs, range(4)))\n    " + READY + "    signal.pause()\n")


# Shell and terminal


def bash_child(place: Place) -> None:
    place.start(tool("bash"), "-c", "sleep 1000; true")
    time.sleep(0.3)


def bash_prompt(place: Place) -> None:
    place.on_terminal(tool("bash"), "--norc", "-i", until=b"5.")


def pipeline(place: Place) -> None:
    """Every process of it waits in read() for the one before; the first for us."""
    place.start(tool("bash"), "-c", "cat | grep x | sort; true", stdin=place.pipe())
    time.sleep(0.5)


def cat(place: Place) -> None:
    place.start(tool("cat"), stdin=place.pipe())


def tail(place: Place) -> None:
    place.start(tool("tail"), "-f", place.file("log.txt", "one\n"))
    time.sleep(0.3)


def less(place: Place) -> None:
    text = place.file("text.txt", "".join("line %d\n" % n for n in range(500)))
    place.on_terminal(tool("less"), text, until=b"line 1")


def vim(place: Place) -> None:
    place.on_terminal(tool("vim"), "-u", "NONE", place.file("text.txt", "hello there\n"),
                      until=b"hello there")


def tmux(place: Place) -> None:
    socket_path = os.path.join(place.folder, "s")
    place.on_terminal(tool("tmux"), "-f", "/dev/null", "-S", socket_path, "new", "cat",
                      until=b"[0]", TMUX="")


def make(place: Place) -> None:
    rules = place.file("Makefile", "all: a b\na b:\n\tsleep 1000; true\n")
    place.start(tool("make"), "-j2", "-f", rules)
    time.sleep(0.5)


def perl(place: Place) -> None:
    place.start(tool("perl"), "-e", "my $line = <STDIN>;", stdin=place.pipe())
    time.sleep(0.3)


# Agents and daemons


def gpg_agent(place: Place) -> None:
    home = place.subfolder("h")
    os.chmod(home, 0o700)
    place.start(tool("gpg-agent"), "--homedir", home, "--daemon", "--no-detach",
                tool("sleep"), "1000")
    place.await_file("h/S.gpg-agent")


def ssh_agent(place: Place) -> None:
    place.start(tool("ssh-agent"), "-D", "-a", os.path.join(place.folder, "s"))
    place.await_file("s")


def dbus(place: Place) -> None:
    path = os.path.join(place.folder, "s")
    place.start(tool("dbus-daemon"), "--session", "--nofork", "--nopidfile",
                "--address=unix:path=" + path)
    place.await_file("s")


def cron(place: Place) -> None:
    if os.getuid() != 0:
        raise Missing("cron has to be root")
    place.start(tool("cron"), "-f")
    time.sleep(1)


def rsyslogd(place: Place) -> None:
    path = os.path.join(place.folder, "s")
    config = place.file("conf", 'module(load="imuxsock" SysSock.Use="off")\n'
                        'input(type="imuxsock" Socket="%s")\n*.* %s/log\n' % (path, place.folder))
    place.start(tool("rsyslogd"), "-n", "-f", config, "-i", os.path.join(place.folder, "pid"))
    place.await_file("s")


def nginx(place: Place) -> None:
    port = free_port()
    places = "".join("%s_temp_path %s/t;\n" % (name, place.folder) for name in
                     ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = place.file("conf", "daemon off;\nworker_processes 2;\npid %s/pid;\nerror_log stderr;\n"
                        "events {}\nhttp {\naccess_log off;\n%s"
                        "server { listen 127.0.0.1:%d; root /nowhere; }\n}\n"
                        % (place.folder, places, port))
    place.start(tool("nginx"), "-p", place.folder, "-c", config)
    place.await_port(port)


def redis(place: Place) -> None:
    port = free_port()
    place.start(tool("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--dir",
                place.folder, "--save", "")
    place.await_port(port)


def postgres(place: Place) -> None:
    newest = sorted(os.listdir("/usr/lib/postgresql")) if os.path.isdir("/usr/lib/postgresql") else []
    bins = ["/usr/lib/postgresql/%s/bin" % version for version in reversed(newest)]
    server, initdb = tool("postgres", *bins), tool("initdb", *bins)
    user, data = plain_user(), place.subfolder("data")
    if user:
        shutil.chown(data, user)
        shutil.chown(place.folder, user)
    makecore.run(as_user(user, [initdb, "-D", data, "-A", "trust", "-N", "-U", "postgres"]))
    port = free_port()
    place.start(server, "-D", data, "-p", str(port), "-k", place.folder, user=user)
    place.await_port(port)


def as_user(user: str, command: List[str]) -> List[str]:
    return [tool("setpriv"), "--reuid", user, "--clear-groups", *command] if user else command


def sshd(place: Place) -> None:
    """The server, and a session on it whose command waits for input."""
    server, keygen, client = tool("sshd"), tool("ssh-keygen"), tool("ssh")
    if os.getuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    for name in ("host", "user"):
        makecore.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(place.folder, name)])
    port = free_port()
    config = place.file("conf", "Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nPidFile none\n"
                        "AuthorizedKeysFile %s/user.pub\nStrictModes no\nUsePAM no\n"
                        "PermitRootLogin yes\n" % (port, place.folder, place.folder))
    place.start(server, "-D", "-e", "-f", config)
    place.await_port(port)
    place.start(client, "-F", "none", "-i", os.path.join(place.folder, "user"), "-p", str(port),
                "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                "127.0.0.1", "touch %s/session; cat" % place.folder, stdin=place.pipe())
    place.await_file("session")


def memcached(place: Place) -> None:
    port = free_port()
    place.start(tool("memcached"), "-l", "127.0.0.1", "-p", str(port), "-u",
                plain_user() or "nobody")
    place.await_port(port)


def mosquitto(place: Place) -> None:
    port = free_port()
    config = place.file("conf", "listener %d 127.0.0.1\nallow_anonymous true\n" % port)
    place.start(tool("mosquitto"), "-c", config)
    place.await_port(port)


def slapd(place: Place) -> None:
    port = free_port()
    place.subfolder("data")
    config = place.file("conf", "include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\n"
                        "moduleload back_mdb\ndatabase mdb\nsuffix \"dc=example\"\n"
                        "directory %s/data\n" % place.folder)
    place.start(tool("slapd"), "-f", config, "-h", "ldap://127.0.0.1:%d" % port, "-d", "0")
    place.await_port(port)


# Other languages


def chromium(place: Place) -> None:
    place.start(tool("chromium"), "--headless", "--no-sandbox", "--disable-gpu",
                "--user-data-dir=" + place.subfolder("profile"), "--disable-breakpad",
                "--remote-debugging-port=0", "data:text/html,<p>hello</p>")
    place.await_file("profile/DevToolsActivePort")
    time.sleep(3)


def node(place: Place) -> None:
    place.start(tool("node"), "-e", "require('http').createServer().listen(0, '127.0.0.1', () => "
                "require('fs').readFile('/etc/hostname', () => "
                "require('fs').writeFileSync('ready', '')))")
    place.await_file("ready")


JAVA = """import java.io.*; import java.net.*; import java.util.concurrent.*;
class Idle { public static void main(String[] a) throws Exception {
  ExecutorService pool = Executors.newFixedThreadPool(4);
  for (int i = 0; i < 8; i++) pool.submit(() -> System.nanoTime());
  ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
  new File("ready").createNewFile();
  server.accept(); } }
"""


def java(place: Place) -> None:
    makecore.run([tool("javac"), "-d", place.folder, place.file("Idle.java", JAVA)])
    place.start(tool("java"), "-Xmx64m", "-cp", place.folder, "Idle")
    place.await_file("ready")


GO = """package main
import ("net"; "os"; "sync")
func main() {
  work := make(chan int); var all sync.WaitGroup
  for i := 0; i < 4; i++ { all.Add(1); go func() { for range work {}; all.Done() }() }
  l, _ := net.Listen("tcp", "127.0.0.1:0")
  os.WriteFile("ready", nil, 0644)
  l.Accept() }
"""


# As programs with windows do: main keeps its thread, which is then parked on its own stack's first
# frames (runtime.mcall), where the runtime's threads otherwise end only now and then.
GO_LOCKED = """package main
import ("os"; "os/signal"; "runtime"; "time")
func init() { runtime.LockOSThread() }
func main() {
  asked := make(chan os.Signal, 1); signal.Notify(asked, os.Interrupt)
  go func() { for range time.Tick(time.Hour) {} }()
  os.WriteFile("ready", nil, 0644)
  <-asked }
"""


def go(place: Place) -> None:
    build_go(place, GO)


def go_locked(place: Place) -> None:
    build_go(place, GO_LOCKED)


def build_go(place: Place, code: str) -> None:
    compiler = tool("go")
    binary = os.path.join(place.folder, "idle")
    cache = os.path.join(place.folder, "cache")
    makecore.run([tool("env"), "GOCACHE=" + cache, "GO111MODULE=off", compiler, "build", "-o", binary,
                  place.file("idle.go", code)])
    place.start(binary)
    place.await_file("ready")


RUST = """use std::{fs, io::Read, net::TcpListener, sync::{mpsc, Arc, Mutex}, thread};
fn main() {
    let (_give, take) = mpsc::channel::<i32>();
    let take = Arc::new(Mutex::new(take));
    for _ in 0..4 {
        let take = take.clone();
        thread::spawn(move || loop { let _ = take.lock().unwrap().recv(); });
    }
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    fs::write("ready", "").unwrap();
    let mut text = String::new();
    l.accept().unwrap().0.read_to_string(&mut text).unwrap();
}
"""


def rust(place: Place) -> None:
    binary = os.path.join(place.folder, "idle")
    makecore.run([tool("rustc"), "-O", "-o", binary, place.file("idle.rs", RUST)])
    place.start(binary)
    place.await_file("ready")


Recipe = Callable[[Place], None]


@dataclass(frozen=True)
class Program:
    name: str
    start: Recipe
    kernel: bool = True   # SIGABRT ends it with a core and nothing else
    gcore: bool = True    # gcore writes every page of what it reserves
    verdict: str = "none"


PROGRAMS: Dict[str, Program] = {program.name: program for program in (
    Program("python_repl", python_repl), Program("python_http", python_http),
    Program("python_asyncio", python_asyncio), Program("python_executor", python_executor),
    Program("python_queue", python_queue), Program("python_pool", python_pool),
    Program("python_process_executor", python_process_executor),
    Program("python_pool_reads", python_pool_reads),
    Program("python_executor_reads", python_executor_reads),
    Program("bash_child", bash_child), Program("bash_prompt", bash_prompt, kernel=False),
    Program("pipeline", pipeline), Program("cat", cat), Program("tail", tail),
    Program("less", less), Program("vim", vim, kernel=False), Program("tmux", tmux),
    Program("make", make), Program("perl", perl),
    Program("gpg_agent", gpg_agent), Program("ssh_agent", ssh_agent), Program("dbus", dbus),
    Program("cron", cron), Program("rsyslogd", rsyslogd, kernel=False), Program("nginx", nginx),
    Program("redis", redis, kernel=False), Program("postgres", postgres), Program("sshd", sshd),
    Program("memcached", memcached), Program("mosquitto", mosquitto), Program("slapd", slapd),
    Program("chromium", chromium, gcore=False), Program("node", node, gcore=False),
    # What a Java thread waits for stands in the Java heap: a deadlock there looks the same.
    Program("java", java, kernel=False, verdict="inconclusive"),
    # And goroutines that wait have no thread.
    Program("go", go, kernel=False, verdict="inconclusive"),
    Program("go_locked", go_locked, kernel=False, verdict="inconclusive"),
    Program("rust", rust),
)}
