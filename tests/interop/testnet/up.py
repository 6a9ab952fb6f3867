"""The start of a network.

Every peer starts twice: the first time to make its keys and its router.info, the second time
together with the others, when each knows all of them.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from .common import (CONSOLE_PORT, CONTROL_PORT, FIRST_PORT, METRICS_PORT, PREFIX, PROGRAM,
                     SAM_PORT, die, note, out)
from .configs import start_router, write_conf
from .install import java_classes
from .network import collect, make_reseed, save, stop_all, wait_router_info
from .processes import Spaces, alive, end
from .routerinfo import parse_router_info, put_router_info

# best floodfills first: an old i2pd is not accepted as floodfill by newer ones
FLOODFILL_ORDER = ["i2pd-new", "i2pd-mid", "java", "i2pd", "emissary"]
FLOODFILLS_ACCEPTED = ("i2pd-new", "i2pd-mid", "java")


def check_free(d):
    if not (d / "net.json").exists():
        return
    old = json.loads((d / "net.json").read_text())
    if any(alive(p.get("proc")) for p in old["peers"]):
        die(f"{d}: a network is running here; `testnet down {d}` first")
    die(f"{d}: left from an earlier network; remove it first")


def peer_counts(a):
    counts = [("i2pd", a.i2pd), ("i2pd-mid", a.i2pd_mid), ("i2pd-new", a.i2pd_new),
              ("emissary", a.emissary), ("java", a.java)]
    if not 1 <= sum(n for _, n in counts) <= 190:
        die("between 1 and 190 peers")
    return counts


def tunnel_files(entries):
    files = {}
    for entry in entries or []:
        peer, _, file = entry.partition("=")
        if not re.fullmatch(r"p\d+", peer) or not Path(file).is_file():
            die(f"--tunnels {entry}: expected PEER=FILE, such as p0=tunnels.conf")
        files[peer] = str(Path(file).resolve())
    return files


def options(a):
    if a.no_ntcp2 and a.no_ssu2:
        die("one of NTCP2 and SSU2 is needed")
    return {"ntcp2": not a.no_ntcp2, "ssu2": not a.no_ssu2,
            "loglevel": a.loglevel or "info",
            "java_log": a.java_log or a.loglevel or "warn",
            "java_heap": a.java_heap, "java_uptime": a.java_uptime,
            "bandwidth": a.bandwidth,
            "transit": a.transit_limit, "expl_length": a.expl_length,
            "emissary_log": a.emissary_log,
            "emissary_pq": not a.emissary_no_pq,
            "emissary_insecure": a.emissary_insecure,
            "notransit": a.notransit, "tunnels": tunnel_files(a.tunnels)}


def plan_peer(d, mode, k, kind):
    p = {"index": k, "name": f"p{k}", "kind": kind, "hash": None,
         "dir": str(d / f"p{k}"), "port": FIRST_PORT + k}
    if mode == "netns":
        p.update(ip=f"{PREFIX}.{k + 1}.0.1", console_port=CONSOLE_PORT,
                 sam_port=SAM_PORT, control_port=CONTROL_PORT,
                 metrics_port=METRICS_PORT)
    else:
        p.update(ip="127.0.0.1", console_port=FIRST_PORT + 1000 + k,
                 sam_port=FIRST_PORT + 2000 + 2 * k,
                 control_port=FIRST_PORT + 3000 + k,
                 metrics_port=FIRST_PORT + 4000 + k)
    return p


def choose_floodfills(peers, wanted):
    """Marks the floodfills: half of the peers when nothing is wanted, a number, or names."""
    accepted = sum(p["kind"] in FLOODFILLS_ACCEPTED for p in peers)
    chosen = (wanted or "").split(",")
    if wanted is None or wanted.isdigit():
        count = int(wanted) if wanted else \
            max(1, min((len(peers) + 1) // 2, accepted or len(peers)))
        order = sorted(peers, key=lambda p: (FLOODFILL_ORDER.index(p["kind"]), p["index"]))
        chosen = [p["name"] for p in order[:count]]
    elif not all(c in [p["name"] for p in peers] for c in chosen):
        die(f"--floodfills {wanted}: a number, or peers such as p0,p3")
    for p in peers:
        p["floodfill"] = p["name"] in chosen


def make_spaces(net, slots):
    s = Spaces(net)
    s.create_hub()
    save(net)
    for p in net["peers"]:
        s.create(p["name"], p["ip"])
        save(net)
    for n in range(slots):
        s.create(f"rut{n}", f"{PREFIX}.{200 + n}.0.1")
        save(net)


def first_start(net):
    """Each peer makes its keys and its router.info."""
    (Path(net["dir"]) / "routerinfos").mkdir(exist_ok=True)
    make_reseed(net)
    for p in net["peers"]:
        write_conf(net, p)
    for p in net["peers"]:
        start_router(net, p)
        save(net)
    limit = time.time() + 60
    for p in net["peers"]:
        p["hash"] = wait_router_info(net, p, limit)["hash"]
    time.sleep(0.5)
    end([p["proc"] for p in net["peers"]])


def second_start(net, extra, stagger):
    """Each peer knows all, and the routers of the files in `extra`."""
    infos = Path(net["dir"]) / "routerinfos"
    collect(net)
    for f in extra or []:
        h = parse_router_info(Path(f).read_bytes())["hash"]
        net["extra"][h] = "extra:" + Path(f).name
        shutil.copy(f, infos / f"routerInfo-{h}.dat")
    make_reseed(net)
    for p in net["peers"]:
        for f in infos.glob("routerInfo-*.dat"):
            if p["hash"] not in f.name:
                put_router_info(p["dir"], f.read_bytes())
        start_router(net, p)
        save(net)
        time.sleep(stagger)


def wait_ready(net, seconds, began):
    cmd = [sys.executable, str(PROGRAM), "wait-ready", net["dir"], "--timeout", str(seconds)]
    ok = subprocess.run(cmd, stdout=subprocess.DEVNULL).returncode == 0
    note(f"{'ready' if ok else 'NOT ready'} after {time.time() - began:.1f} s")
    collect(net)
    make_reseed(net)
    return ok


def cmd_up(a):
    d = Path(a.dir).resolve()
    check_free(d)
    if a.netid == 2:
        die("network id 2 is the public network; choose another")
    counts = peer_counts(a)
    if a.java:
        java_classes()
    net = {"dir": str(d), "netid": a.netid, "mode": a.net, "created": time.time(),
           "slots": {}, "peers": [], "extra": {}, "options": options(a)}
    for kind, n in counts:
        for _ in range(n):
            net["peers"].append(plan_peer(d, a.net, len(net["peers"]), kind))
    choose_floodfills(net["peers"], a.floodfills)
    d.mkdir(parents=True, exist_ok=True)
    save(net)
    began = time.time()
    try:
        if net["mode"] == "netns":
            make_spaces(net, a.slots)
        first_start(net)
        second_start(net, a.extra_routerinfo, a.stagger)
        note(f"{len(net['peers'])} routers started after {time.time() - began:.1f} s")
    except BaseException:
        save(net)
        stop_all(net)
        raise
    ok = wait_ready(net, a.wait, began) if a.wait else True
    out({"dir": str(d), "netid": a.netid, "mode": net["mode"], "ready": ok,
         "seconds": round(time.time() - began, 1),
         "reseed": str(d / "reseed.zip"),
         "routerinfos": str(d / "routerinfos"),
         "slots": {s: v["ip"] for s, v in net["slots"].items()
                   if s.startswith("rut")},
         "peers": [{"name": p["name"], "kind": p["kind"], "ip": p["ip"],
                    "port": p["port"], "floodfill": p["floodfill"],
                    "hash": p["hash"], "pid": p["proc"]["pid"],
                    "sam": f"{p['ip']}:{p['sam_port']}",
                    "log": f"{p['dir']}/router.log"}
                   for p in net["peers"]]})
    return 0 if ok else 3
