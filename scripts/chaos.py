"""The run of scripts/chaos.sh, which explains it. Only the standard library."""

import argparse
import collections
import ctypes
import glob
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

WORKERS = 4
LEASE = 6
# Tasks of one graph: on their own, in a chain, and that change the same lines.
PLAIN, CHAIN, STORM = 14, 4, 6


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def run(*command, cwd=None, check=True):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done


def until(what, look, seconds):
    """The first answer that is not false."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = look()
        except (OSError, urllib.error.URLError, ValueError, RuntimeError):
            found = None
        if found:
            return found
        if time.monotonic() > end:
            raise RuntimeError(f"not within {seconds} s: {what}")
        time.sleep(0.3)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def with_its_parent():
    """A child that does not outlive this process, in a process group of its own."""
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Process:
    """A program that is started again after it was killed."""

    def __init__(self, name, command, env, log):
        self.name, self.command, self.env, self.log = name, command, env, log
        self.child = None
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                self.command, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=with_its_parent,
            )

    def kill(self):
        self.signal(signal.SIGKILL)
        self.child.wait()

    def signal(self, number):
        os.killpg(self.child.pid, number)

    def running(self):
        return self.child.poll() is None


class Postgres:
    """A server of its own, durable as in production."""

    def __init__(self, folder):
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
        self.bin = pathlib.Path(programs[-1] if programs else shutil.which("postgres") or "")
        if not self.bin.name:
            sys.exit("chaos: PostgreSQL is missing")
        self.folder, self.port = folder / "postgres", free_port()
        self.folder.mkdir()
        self.user = []
        if os.getuid() == 0:
            self.user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]
            shutil.chown(self.folder, "postgres")
        self.tool("initdb", "--pgdata", self.data(), "--username", "greenloop", "--auth", "trust",
                  "--encoding", "UTF8", "--no-locale")
        self.control("start")
        self.url = f"postgres://greenloop@127.0.0.1:{self.port}/postgres"

    def data(self):
        return str(self.folder / "data")

    def tool(self, name, *arguments):
        return run(*self.user, str(self.bin.with_name(name)), *arguments, cwd="/")

    def control(self, *words):
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c max_connections=200"
        # Its output goes to a file: a pipe would stay open in the server.
        with open(self.folder.parent / "postgres.log", "ab") as log:
            subprocess.run(
                [*self.user, str(self.bin.with_name("pg_ctl")), "-D", self.data(), "-w", "-t", "60",
                 "-o", options, *words],
                cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True, timeout=120,
            )

    def number(self, sql):
        done = self.tool("psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "greenloop", "-d",
                         "postgres", "-At", "-c", sql)
        return int(done.stdout.strip())


class Proxy:
    """Between workers and hubs: each connection goes to the next hub that answers."""

    def __init__(self, ports):
        self.ports, self.next, self.open = ports, 0, set()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            hub = None
            for _ in self.ports:
                self.next += 1
                try:
                    port = self.ports[self.next % len(self.ports)]
                    hub = socket.create_connection(("127.0.0.1", port), timeout=2)
                    hub.settimeout(None)
                    break
                except OSError:
                    continue
            if hub is None:
                client.close()
                continue
            pair = (client, hub)
            with self.lock:
                self.open.add(pair)
            for one, other in (pair, pair[::-1]):
                threading.Thread(target=self.pump, args=(one, other, pair), daemon=True).start()

    def pump(self, one, other, pair):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        for end in pair:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        with self.lock:
            self.open.discard(pair)

    def reset(self):
        with self.lock:
            pairs = list(self.open)
        for pair in pairs:
            for end in pair:
                try:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    end.close()
                except OSError:
                    pass
        return len(pairs)


class Run:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.random = random.Random(options.seed)
        self.program = options.program
        self.graphs, self.keys = [], set()
        self.happened = collections.Counter()
        self.processes = []

    def setup(self):
        self.postgres = Postgres(self.folder)
        redis_port = free_port()
        self.redis = self.process(
            "redis", [shutil.which("redis-server"), "--port", str(redis_port), "--save", "",
                      "--dir", str(self.folder)])
        self.store = {"GREENLOOP_STORE": self.postgres.url,
                      "GREENLOOP_REDIS": f"redis://127.0.0.1:{redis_port}"}
        self.admin, self.work = self.token("admin"), self.token("work")
        self.remote()
        self.ports = [free_port(), free_port()]
        self.hubs = []
        for n, port in enumerate(self.ports):
            hub = [self.program, "hub", "serve", "--listen", f"127.0.0.1:{port}", "--work",
                   str(self.folder / f"hub-{n}"), "--heartbeat", "2", "--sandbox", "off",
                   "--pass-env", "*", "--rate", "0"]
            self.hubs.append(self.process(f"hub-{n}", hub, self.store))
            # One after the other brings the tables up to date.
            until(f"hub {n} serves", lambda n=n: self.api("GET", "/health", hub=n), 60)
        self.proxy = Proxy(self.ports)
        self.workers = [self.worker(n) for n in range(WORKERS)]

    def process(self, name, command, env=None):
        plain = {name: value for name, value in os.environ.items()
                 if not name.startswith(("GREENLOOP_", "OPENAI_", "GIT_"))}
        env = plain | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
                       "XDG_CACHE_HOME": str(self.folder / "cache")} | (env or {})
        one = Process(name, command, env, self.folder / f"{name}.log")
        self.processes.append(one)
        return one

    def token(self, scope):
        env = dict(os.environ) | self.store
        made = subprocess.run([self.program, "hub", "token", "create", "--name", scope, "--scope",
                               scope], env=env, capture_output=True, text=True, check=True)
        return made.stdout.strip()

    def worker(self, name, *more, work=None):
        command = [self.program, "worker", "--hub", f"http://127.0.0.1:{self.proxy.port}", "--name",
                   f"worker-{name}", "--work", str(work or self.folder / f"worker-{name}"),
                   "--slots", "2", "--lease", str(LEASE), "--heartbeat", "2", "--recheck", "1",
                   "--sandbox", "off", "--pass-env", "*", *more]
        return self.process(f"worker-{name}", command, {"GREENLOOP_HUB_TOKEN": self.work})

    def git(self, *arguments, cwd=None):
        return run("git", "-c", "user.name=person", "-c", "user.email=person@example.org",
                   *arguments, cwd=cwd or self.bare).stdout.strip()

    def remote(self):
        first = self.folder / "first"
        first.mkdir()
        self.bare = self.folder / "remote.git"
        self.git("init", "-q", "-b", "main", cwd=first)
        (first / "shared.txt").write_text("first\n")
        self.git("add", "-A", cwd=first)
        self.git("commit", "-q", "-m", "first", cwd=first)
        self.git("clone", "-q", "--bare", "first", "remote.git", cwd=self.folder)
        self.git("clone", "-q", "remote.git", "person", cwd=self.folder)
        self.person = self.folder / "person"

    def api(self, method, path, body=None, hub=None):
        last = None
        for n in [hub] if hub is not None else self.random.sample([0, 1], 2):
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.ports[n]}/api/v1{path}", data, method=method,
                headers={"Authorization": f"Bearer {self.admin}",
                         "Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=8) as answer:
                    text = answer.read()
                    return json.loads(text) if text else True
            except (OSError, urllib.error.URLError) as error:
                last = error
        raise last

    def pages(self, path):
        items, after = [], ""
        while after is not None:
            page = self.api("GET", f"{path}{after}")
            items += page["items"]
            following = page.get("next")
            after = None if following is None else (
                f"{'&' if '?' in path else '?'}cursor={following}")
        return items

    def submit(self):
        number = len(self.graphs)
        tasks = []

        def add(key, command, **more):
            self.keys.add(key)
            tasks.append({"key": key, "title": key, "hours": 1.0, "max_attempts": 12,
                          "action": {"command": command}, **more})

        own = "sleep 0.{} && mkdir -p done && echo {} > done/{}"
        for n in range(PLAIN):
            key = f"g{number}-plain-{n}"
            add(key, own.format(n % 9, key, key))
        before = []
        for n in range(CHAIN):
            key = f"g{number}-chain-{n}"
            add(key, own.format(1, key, key), needs=before)
            before = [key]
        for n in range(STORM):
            key = f"g{number}-storm-{n}"
            add(key, f"sleep 1 && echo {key} >> shared.txt")
        if number == 0:
            add("nobody", own.format(1, "nobody", "nobody"), role="nobody-has-it")
        graph = {"project": "chaos", "name": f"chaos {number}", "target": "main",
                 "repository": str(self.bare), "gates": ["test ! -e BROKEN"], "tasks": tasks}
        key = f"chaos-{self.options.seed}-{number}"

        def handed_in():
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.random.choice(self.ports)}/api/v1/graphs",
                json.dumps(graph).encode(), method="POST",
                headers={"Authorization": f"Bearer {self.admin}", "Idempotency-Key": key,
                         "Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)["id"]

        self.graphs.append(until("a graph is taken", handed_in, 60))
        say(f"graph {self.graphs[-1]} with {len(tasks)} tasks")

    def unfinished(self):
        return [graph for graph in self.graphs
                if self.api("GET", f"/graphs/{graph}")["state"] == "running"]

    def hold(self):
        for branch in self.api("GET", "/branches")["items"]:
            if branch.get("hold"):
                return branch["hold"]
        return None

    def push_as_a_person(self, change, message):
        """On the tip, whatever the hubs push meanwhile."""
        for _ in range(60):
            self.git("fetch", "-q", "origin", cwd=self.person)
            self.git("reset", "-q", "--hard", "origin/main", cwd=self.person)
            change()
            self.git("add", "-A", cwd=self.person)
            self.git("commit", "-q", "--allow-empty", "-m", message, cwd=self.person)
            pushed = run("git", "push", "-q", "origin", "HEAD:main", cwd=self.person, check=False)
            if pushed.returncode == 0:
                return
        raise RuntimeError("a person's push was overtaken 60 times")

    # The failures.

    def hub_is_killed(self):
        hub = self.random.choice(self.hubs)
        hub.kill()
        time.sleep(self.random.uniform(0.2, 2))
        hub.start()

    def worker_is_killed(self):
        worker = self.random.choice(self.workers)
        worker.kill()
        time.sleep(self.random.uniform(0.2, 2))
        worker.start()

    def postgres_restarts_at_once(self):
        self.postgres.control("restart", "-m", "immediate")

    def redis_is_killed(self):
        self.redis.kill()
        time.sleep(1)
        self.redis.start()

    def connections_are_reset(self):
        for _ in range(5):
            self.proxy.reset()
            time.sleep(0.4)

    def hub_stands_still(self):
        hub = self.random.choice(self.hubs)
        hub.signal(signal.SIGSTOP)
        time.sleep(5)
        hub.signal(signal.SIGCONT)

    def worker_stands_still(self):
        worker = self.random.choice(self.workers)
        worker.signal(signal.SIGSTOP)
        time.sleep(LEASE + 3)
        worker.signal(signal.SIGCONT)

    def main_is_broken(self):
        self.submit()
        self.push_as_a_person(lambda: (self.person / "BROKEN").write_text("x\n"), "break main")
        until("the queue holds: main is broken",
              lambda: (self.hold() or {}).get("reason") == "target_broken", 90)
        self.push_as_a_person(lambda: (self.person / "BROKEN").unlink(missing_ok=True), "repair main")
        self.api("POST", "/merge-queue/decision", {"target": "main", "decision": "retry"})
        until("the queue goes on", lambda: self.hold() is None, 90)

    def main_is_rewound(self):
        def merged():
            self.git("fetch", "-q", "origin", cwd=self.person)
            tips = self.git("rev-list", "--first-parent", "origin/main", cwd=self.person).split()
            return tips if len(tips) > 3 else None

        until("something is merged", merged, 90)
        for _ in range(60):
            tips = merged()
            pushed = run("git", "push", "-q", f"--force-with-lease=main:{tips[0]}", "origin",
                         f"{tips[2]}:main", cwd=self.person, check=False)
            if pushed.returncode == 0:
                break
        until("the queue holds: main is rewound",
              lambda: (self.hold() or {}).get("reason") == "target_rewound", 90)
        self.api("POST", "/merge-queue/decision", {"target": "main", "decision": "follow"})
        until("the queue goes on", lambda: self.hold() is None, 90)

    def conflicts_storm(self):
        self.submit()

    def disk_fills_up(self):
        if os.getuid() != 0:
            say("skipped: a small disk needs root")
            return
        small = self.folder / "small"
        small.mkdir(exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(small))
        self.mounted = small
        worker = self.worker("full", work=small / "work")
        try:
            until("the worker is there", lambda: self.agent("worker-full"), 30)
            try:
                with open(small / "filler", "wb", buffering=0) as filler:
                    while filler.write(b"x" * 4096):
                        pass
            except OSError:
                pass
            self.submit()
            until("the worker is quarantined",
                  lambda: (self.agent("worker-full") or {}).get("state") == "quarantined", 90)
            (small / "filler").unlink(missing_ok=True)
            until("the worker takes work again",
                  lambda: (self.agent("worker-full") or {}).get("state") in ("idle", "working"), 90)
        finally:
            worker.signal(signal.SIGTERM)
            try:
                worker.child.wait(60)
            except subprocess.TimeoutExpired:
                worker.kill()
            self.processes.remove(worker)
            run("umount", str(small), check=False)
            self.mounted = None

    def agent(self, name):
        return next((it for it in self.pages("/agents") if it["name"] == name), None)

    def nobody_has_the_role(self):
        def alert():
            return next((it for it in self.api("GET", "/alerts")["items"]
                         if it["kind"] == "no_worker" and it["role"] == "nobody-has-it"), None)

        if not self.happened["nobody_has_the_role"]:
            until("an alert says that nobody has the role", alert, 60)
            self.workers.append(self.worker("late", "--role", "nobody-has-it"))
            until("the alert ends", lambda: not alert(), 60)

    def chaos(self):
        failures = [
            self.hub_is_killed, self.worker_is_killed, self.postgres_restarts_at_once,
            self.redis_is_killed, self.connections_are_reset, self.hub_stands_still,
            self.worker_stands_still, self.main_is_broken, self.main_is_rewound,
            self.conflicts_storm, self.disk_fills_up, self.nobody_has_the_role,
        ]
        end = time.monotonic() + (0 if self.options.short else self.options.seconds)
        self.submit()
        while True:
            for failure in self.random.sample(failures, len(failures)):
                time.sleep(self.random.uniform(0.5, 2))
                name = failure.__name__
                say(name.replace("_", " "))
                failure()
                self.happened[name] += 1
            if time.monotonic() >= end:
                return
            if not self.unfinished():
                self.submit()

    # What must hold.

    def invariants(self):
        wrong = []

        def hold(what, fine, found=""):
            say(f"{'holds' if fine else 'VIOLATED'}: {what}{'' if fine else f': {found}'}")
            if not fine:
                wrong.append(what)

        for process in self.processes:
            hold(f"{process.name} runs", process.running())
        until("every graph ends", lambda: not self.unfinished(), 420)
        until("no alert is left", lambda: not self.api("GET", "/alerts")["items"], 60)
        states = collections.Counter()
        tasks = {}
        for graph in self.graphs:
            states[self.api("GET", f"/graphs/{graph}")["state"]] += 1
            tasks |= {task["id"]: task for task in self.pages(f"/tasks?graph={graph}")}
        hold("every graph is done", set(states) == {"done"}, dict(states))
        undone = [f"{it['key']}: {it['state']}" for it in tasks.values() if it["state"] != "done"]
        hold("every task is done", not undone and len(tasks) == len(self.keys), undone)
        twice = []
        for number in tasks:
            attempts = self.pages(f"/tasks/{number}/attempts")
            ends = [it["state"] for it in attempts]
            epochs = [it["epoch"] for it in attempts]
            if ends.count("succeeded") != 1 or epochs != list(range(1, len(epochs) + 1)):
                twice.append((number, ends))
        hold("every task succeeded exactly once, in its last attempt", not twice, twice)

        tree = self.git("ls-tree", "-r", "--name-only", "main").splitlines()
        missing = [key for key in self.keys if "-storm-" not in key and f"done/{key}" not in tree]
        hold("what every task made is on main", not missing, missing)
        lines = collections.Counter(self.git("show", "main:shared.txt").splitlines())
        odd = {key: lines[key] for key in self.keys if "-storm-" in key and lines[key] != 1}
        hold("every line of the storm is on main once", not odd, odd)
        hold("main passes its gates", "BROKEN" not in tree)
        merges = self.git("rev-list", "--first-parent", "--merges", "main").split()
        untested = [it for it in merges if "BROKEN" in self.git("ls-tree", "--name-only", it)]
        hold("every merge on main passed its gates", not untested, untested)

        queue = [it for it in self.pages("/merge-queue") if it["state"] in ("queued", "testing")]
        hold("no merge queue has an entry left", not queue, queue)
        hold("no merge queue is on hold", self.hold() is None, self.hold())
        for n in (0, 1):
            hold(f"hub {n} is healthy", self.api("GET", "/health", hub=n)["status"] == "ok",
                 self.api("GET", "/health", hub=n))
        for what, sql in RULES.items():
            found = self.postgres.number(sql)
            hold(what, found == 0, f"{found} rows")
        never = [it for it in FAILURES if not self.happened[it]]
        hold("every kind of failure happened", not never, never)
        return wrong

    def stop(self):
        for process in self.processes:
            if process.running():
                process.signal(signal.SIGCONT)
                process.kill()
        if getattr(self, "mounted", None):
            run("umount", str(self.mounted), check=False)
        if hasattr(self, "postgres"):
            self.postgres.control("stop", "-m", "immediate")


FAILURES = [
    "hub_is_killed", "worker_is_killed", "postgres_restarts_at_once", "redis_is_killed",
    "connections_are_reset", "hub_stands_still", "worker_stands_still", "main_is_broken",
    "main_is_rewound", "conflicts_storm", "disk_fills_up", "nobody_has_the_role",
]

RULES = {
    "the queue has no task that is not ready":
        "SELECT COUNT(*) FROM task_queue q LEFT JOIN tasks t ON t.id = q.task_id "
        "WHERE t.id IS NULL OR t.state <> 'ready'",
    "every commit on the target has a passing record of exactly that commit":
        "SELECT COUNT(*) FROM merge_queue m WHERE m.state = 'merged' AND NOT EXISTS (SELECT 1 "
        "FROM gate_records g WHERE g.project_id = m.project_id AND g.target = m.target "
        "AND g.sha = m.merged AND g.passed = 1)",
    "every claim is told once":
        "SELECT COUNT(*) FROM attempts a WHERE 1 <> (SELECT COUNT(*) FROM (SELECT task_id, epoch, "
        "kind FROM outbox UNION ALL SELECT task_id, epoch, kind FROM outbox_waiting) o "
        "WHERE o.task_id = a.task_id AND o.epoch = a.epoch AND o.kind = 'task.claimed')",
    "an agent's figures are those of its attempts":
        "SELECT COUNT(*) FROM agents g WHERE g.succeeded <> (SELECT COUNT(*) FROM attempts s "
        "WHERE s.agent = g.name AND s.state = 'succeeded')",
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gl-chaos."))
    # PostgreSQL runs as another user, who must be able to enter.
    folder.chmod(0o711)
    say(f"seed {options.seed}, logs in {folder}")
    chaos = Run(options, folder)
    wrong = ["the run did not get to its end"]
    try:
        chaos.setup()
        chaos.chaos()
        say("no more failures: the rest is done in peace")
        wrong = chaos.invariants()
    except RuntimeError as error:
        say(f"VIOLATED: {error}")
        wrong = [str(error)]
    finally:
        chaos.stop()
        if not wrong and not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    say(f"{sum(chaos.happened.values())} failures, {len(chaos.keys)} tasks in {len(chaos.graphs)} graphs")
    if wrong:
        say(f"{len(wrong)} invariants are violated; logs in {folder}; repeat with --seed {options.seed}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
