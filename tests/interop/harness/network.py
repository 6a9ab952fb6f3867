"""A private network of real routers, driven through testnet.py."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from .floodway import Floodway, Router, StandIn

# what i2pd 2.45.1 logs of a destination that it then leaves without a lease set
GIVEN_UP = "Can't publish LeaseSet. Destination is not ready"
# A destination of its own, whose tunnels are as short as this network needs them, looks for one that nobody has: its
# question goes to the floodfill, and each time anew.
ASK = """
import os, socket, sys
name = "".join("abcdefghijklmnopqrstuvwxyz234567"[b % 32] for b in os.urandom(51)) + "a.b32.i2p"
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)
s.settimeout(25)
def ask(text):
    s.sendall(text.encode() + b"\\n")
    return s.recv(4096)
ask("HELLO VERSION MIN=3.0 MAX=3.1")
short = " ".join(f"{way}bound.{what}=1" for way in ("in", "out") for what in ("length", "quantity"))
try:
    if b"RESULT=OK" in ask(f"SESSION CREATE STYLE=STREAM ID={name[:8]} DESTINATION=TRANSIENT SIGNATURE_TYPE=7 {short}"):
        ask(f"NAMING LOOKUP NAME={name}")
except TimeoutError:
    pass
"""
PROGRAM = Path(__file__).resolve().parent.parent / "testnet.py"
TOP = PROGRAM.parent.parent.parent


class Network:
    """One network, from its start to its end. `arguments` are those of `testnet.py up`."""

    def __init__(self, directory, arguments, settings):
        self.dir = Path(directory)
        self.arguments = list(arguments)
        self.settings = settings
        self.peers = []
        self.routers = []
        self.started = 0
        self.up_done = False

    # ---- start and end

    def start(self):
        if (self.dir / "net.json").exists():
            self.command("down", self.dir, "--purge", timeout=60)
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.parent.mkdir(parents=True, exist_ok=True)
        self.up_done = True
        up = self.command("up", "--dir", self.dir, *self.arguments, timeout=240, check=False)
        if up.returncode not in (0, 3) or not up.stdout:
            raise AssertionError(f"the network does not start: {up.stderr[-2000:]}")
        self.peers = json.loads(up.stdout)["peers"]

    def stop(self, purge):
        """Ends all that belongs to the network; problems are raised when all is done."""
        problems = []
        for router in self.routers:
            try:
                router.stop()
            except AssertionError as problem:
                problems.append(str(problem))
        self.routers = []
        if self.up_done:
            down = self.command("down", self.dir, *(["--purge"] if purge else []),
                                timeout=60, check=False)
            if down.returncode:
                problems.append(f"the network does not end: {down.stdout}{down.stderr}")
        if problems:
            raise AssertionError("\n".join(problems))

    # ---- commands

    def command(self, *arguments, timeout=120, check=True):
        command = [sys.executable, str(PROGRAM), *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except BaseException as reason:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(reason, subprocess.TimeoutExpired):
                raise AssertionError(f"testnet {arguments[0]}: no end after {timeout} s") from None
            raise
        done = subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
        if check and done.returncode:
            raise AssertionError(f"testnet {' '.join(map(str, arguments))}: exit "
                                 f"{done.returncode}\n{stdout[-3000:]}{stderr[-2000:]}")
        return done

    def inside(self, slot, *command, timeout=30):
        """Runs a command at a place in the network; its output."""
        return self.command("exec", self.dir, "--slot", slot, "--", *command,
                            timeout=timeout).stdout

    def inside_command(self, slot, command):
        """The command line that becomes `command` at a place in the network."""
        return [sys.executable, str(PROGRAM), "exec", str(self.dir), "--slot", slot, "--",
                *map(str, command)]

    def floodway(self, slot="rut0", **options):
        """Starts Floodway at a place in the network; it ends with the network at the latest."""
        kind = StandIn if self.settings.stand_in else Floodway
        router = kind(self, slot, **options)
        self.routers.append(router)
        try:
            router.start()
        except BaseException:
            router.kill()
            raise
        return router

    # ---- the peers

    def of_kind(self, kind):
        found = [p for p in self.peers if p["kind"] == kind]
        assert found, f"the network has no {kind}"
        return found

    def peer(self, name):
        return next(p for p in self.peers if p["name"] == name)

    def status(self):
        return json.loads(self.command("status", self.dir).stdout)["peers"]

    def view(self, peer):
        """Sessions, tunnels, transit tunnels and LeaseSets that one peer shows."""
        return json.loads(self.command("peers", self.dir, "--peer", peer["name"]).stdout)

    def page(self, peer, path):
        """A page of a peer's console; of a Java peer, one of its JSON views."""
        script = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=40).read().decode())"
        return self.inside("hub", sys.executable, "-c", script, f"http://{peer['ip']}:7070{path}",
                           timeout=60)

    def seed(self, router_info, restart=True):
        """Gives the peers a router.info; they read it when they start."""
        self.command("seed", self.dir, router_info, *(["--restart"] if restart else []))

    def restart(self, *peers):
        self.command("restart", self.dir, *(p["name"] for p in peers))

    def expect(self, what, router, peers=None, count=None, timeout=60):
        """Waits until `count` of the peers (all of them) report `what` about a router or b32."""
        chosen = peers or [p for p in self.peers if p["kind"] != "emissary"]
        arguments = ["expect", "--timeout", timeout, "--count", count or len(chosen)]
        for peer in chosen:
            arguments += ["--peer", peer["name"]]
        # One hash in 64 begins with a hyphen.
        arguments += ["--", self.dir, what, router]
        done = self.command(*arguments, timeout=timeout + 60, check=False)
        if done.returncode:
            raise AssertionError(f"{what} {router}: not reported by "
                                 f"{count or len(chosen)} of {[p['name'] for p in chosen]} "
                                 f"within {timeout} s:\n{done.stdout}{done.stderr[-1000:]}")
        return json.loads(done.stdout)["peers"]

    def echo(self, sender, receiver, size=1_000_000, length=2, via=(), timeout=120, enc_type="4"):
        """`size` bytes there and back between two SAM destinations; the tool's report.

        i2pd 2.45.1 gives up a destination whose inbound tunnel stands before its outbound one: it says
        so, publishes no lease set for minutes, and its session may never be ready. Only then, up to
        three times, new destinations are made.
        """
        old = [p for p in (sender, receiver) if p["kind"] == "i2pd"]
        for attempt in range(1, 5 if old else 2):
            before = {p["name"]: self.log(p).count(GIVEN_UP) for p in old}
            done = self._echo(sender, receiver, size, length, via, 50 if old else timeout, enc_type)
            if done.returncode == 0:
                return json.loads(done.stdout)
            if not any(self.log(p).count(GIVEN_UP) > before[p["name"]] for p in old):
                break
        raise AssertionError(f"sam-echo {sender['name']} {receiver['name']} via {list(via)} length "
                             f"{length}, attempt {attempt}: "
                             f"{done.stdout[-2500:]}{done.stderr[-1000:]}")

    def _echo(self, sender, receiver, size, length, via, timeout, enc_type):
        arguments = ["sam-echo", self.dir, sender["name"], receiver["name"], "--bytes", size,
                     "--length", length, "--timeout", timeout, "--enc-type", enc_type]
        if via:
            arguments.append("--via=" + ",".join(via))
        return self.command(*arguments, timeout=3 * timeout, check=False)

    def ask_for_nobody(self, peer):
        """Has an i2pd look for a lease set that nobody has; 2.45.1 may leave a new destination without tunnels."""
        address, port = peer["sam"].rsplit(":", 1)
        self.inside("hub", sys.executable, "-c", ASK, address, port, timeout=70)

    def neighbour(self, router, errand, *arguments):
        """Plays one more router, in slot rut1, that tells or asks a router or peer; what it prints."""
        info = router.router_info if isinstance(router, Router) \
            else self.dir / router["name"] / "router.info"
        program = self.settings.program.parent / "neighbour"
        address = json.loads((self.dir / "net.json").read_text())["slots"]["rut1"]["ip"]
        command = self.inside_command("rut1", [program, "--to", info, "--host", address, errand,
                                               *arguments])

        def run(command):
            return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=60)
        done = run(command)
        if "Connection reset by peer" in done.stderr:
            # All neighbours come from one address, which may not begin as many handshakes as a quick test does.
            time.sleep(3)
            done = run(command)
        assert done.returncode == 0, f"neighbour {errand} {' '.join(map(str, arguments))} at " \
            f"{getattr(router, 'slot', None) or router['name']}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def passed_on(self, kind, told, asked):
        """Stores a new record at one floodfill alone; the other must come to hold it. The record's key."""
        key = self.neighbour(told, "store", kind)
        self.neighbour(asked, "lookup", "--patience", 30, "--", kind, key)
        self.neighbour(told, "lookup", "--patience", 5, "--", kind, key)
        return key

    def log(self, peer):
        return Path(peer["log"]).read_text(errors="replace")

    # ---- what is told when a test fails

    def states(self):
        lines = []
        for s in self.status():
            known = {k: s.get(k) for k in ("kind", "running", "caps", "network", "success_rate",
                                           "routers", "floodfills", "leasesets", "sessions",
                                           "tunnels_established", "transit_tunnels", "error")
                     if s.get(k) is not None}
            lines.append(f"{s['name']}: {json.dumps(known)}")
        return "\n".join(lines)


def eventually(condition, what, timeout=30, pause=0.5):
    """Waits until `condition()` is true and answers with it; `what` is said when it never is."""
    limit = time.time() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.time() > limit:
            said = what() if callable(what) else what
            raise AssertionError(f"not within {timeout} s: {said}")
        time.sleep(pause)
