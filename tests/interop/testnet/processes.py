"""Processes and network namespaces.

A process is named by its pid and its start time, so that a pid that another process has since
taken is never signalled.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from .common import HUB_ADDR, PROGRAM, sh


def proc_start(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return int(f.read().rsplit(")", 1)[1].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def proc_state(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return None


def alive(p):
    return bool(p) and proc_start(p["pid"]) == p["start"] \
        and proc_state(p["pid"]) not in ("Z", "X", None)


def spawn(cmd, log=None, cwd=None, env=None):
    """Starts a process in a session of its own; returns its pid record."""
    o = open(log, "ab") if log else subprocess.DEVNULL
    p = subprocess.Popen([str(c) for c in cmd], stdin=subprocess.DEVNULL,
                         stdout=o, stderr=o, cwd=cwd, env=env,
                         start_new_session=True)
    if log:
        o.close()
    return {"pid": p.pid, "start": proc_start(p.pid)}


def reap():
    """Collects ended children, if they are ours."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def end(procs, grace=5.0):
    """TERM, then KILL after grace; only processes recorded by us."""
    procs = [p for p in procs if alive(p)]
    for p in procs:
        with contextlib.suppress(ProcessLookupError):
            os.kill(p["pid"], signal.SIGTERM)
    limit = time.time() + grace
    while procs and time.time() < limit:
        reap()
        procs = [p for p in procs if alive(p)]
        time.sleep(0.05)
    for p in procs:
        with contextlib.suppress(ProcessLookupError):
            os.kill(p["pid"], signal.SIGKILL)
    time.sleep(0.05 if procs else 0)
    reap()


# --------------------------------------------------------------------------
# namespaces


class Spaces:
    """One hub namespace with a bridge, and one namespace per router on it."""

    def __init__(self, net):
        self.net = net

    @staticmethod
    def _into(pid, user):
        return ["nsenter", "-t", str(pid), "-n"] + \
            (["-U", "--preserve-credentials"] if user else [])

    def hub(self):
        return self._into(self.net["hub"]["pid"], self.net["userns"])

    def at(self, slot):
        return self._into(self.net["slots"][slot]["holder"]["pid"],
                          self.net["userns"])

    @staticmethod
    def _hold(cmd):
        p = spawn(cmd)
        limit = time.time() + 10
        while time.time() < limit:
            with contextlib.suppress(OSError):
                if Path(f"/proc/{p['pid']}/comm").read_text().strip() == "sleep":
                    return p
            if proc_state(p["pid"]) in ("Z", None):
                break
            time.sleep(0.01)
        raise RuntimeError("cannot create a network namespace "
                           f"({' '.join(cmd)}); use --net loopback")

    def create_hub(self):
        user = os.geteuid() != 0
        self.net["userns"] = user
        self.net["hub"] = self._hold(
            ["unshare"] + (["-Ur"] if user else []) + ["-n", "sleep", "infinity"])
        for cmd in (["ip", "link", "set", "lo", "up"],
                    ["ip", "link", "add", "br0", "type", "bridge"],
                    ["ip", "addr", "add", f"{HUB_ADDR}/8", "dev", "br0"],
                    ["ip", "link", "set", "br0", "up"]):
            sh(self.hub() + cmd)

    def create(self, slot, addr):
        h = self._hold(self.hub() + ["unshare", "-n", "sleep", "infinity"])
        self.net["slots"][slot] = {"holder": h, "ip": addr}
        veth = f"v-{slot}"
        sh(self.hub() + ["ip", "link", "add", veth, "type", "veth",
                         "peer", "name", "eth0", "netns", str(h["pid"])])
        sh(self.hub() + ["ip", "link", "set", veth, "master", "br0", "up"])
        for cmd in (["ip", "link", "set", "lo", "up"],
                    ["ip", "addr", "add", f"{addr}/8", "dev", "eth0"],
                    ["ip", "link", "set", "eth0", "up"],
                    # routers look for the interface of the default route; the
                    # hub forwards nothing and has no other interface
                    ["ip", "route", "add", "default", "via", HUB_ADDR]):
            sh(self.at(slot) + cmd)


def enter_hub(net):
    """Re-executes this program inside the hub namespace, once."""
    if net["mode"] != "netns" or os.environ.get("TESTNET_IN_HUB") == "1":
        return
    os.environ["TESTNET_IN_HUB"] = "1"
    cmd = Spaces(net).hub() + [sys.executable, str(PROGRAM)] \
        + sys.argv[1:]
    os.execvp(cmd[0], cmd)
