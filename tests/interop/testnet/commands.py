"""The commands on a network that runs."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from .common import die, out
from .configs import start_router
from .network import collect, load, make_reseed, names_by_hash, peer_of, save, stop_all
from .processes import Spaces, alive, end, enter_hub
from .routerinfo import netdb_path, parse_router_info, put_router_info, router_info_file
from .views import (all_status, is_ready, java_view, leasesets_of, peer_status, published_to,
                    sessions_of, transit_of, tunnels_of)


def cmd_down(a):
    net = load(a.dir)
    stop_all(net)
    left = [p["name"] for p in net["peers"] if alive(p.get("proc"))]
    if a.purge and not left:
        shutil.rmtree(net["dir"])
    out({"dir": net["dir"], "running": left, "purged": bool(a.purge and not left)})
    sys.exit(1 if left else 0)


def cmd_status(a):
    net = load(a.dir)
    enter_hub(net)
    st = all_status(net, a.detail)
    out({"netid": net["netid"], "mode": net["mode"],
         "extra": net["extra"], "peers": st})


def cmd_wait_ready(a):
    net = load(a.dir)
    enter_hub(net)
    limit = time.time() + a.timeout
    while True:
        st = all_status(net)
        bad = [s["name"] for s in st if not is_ready(net, s)]
        dead = [s["name"] for s in st if not s["running"]]
        if not bad or dead or time.time() > limit:
            break
        time.sleep(1)
    out({"ready": not bad, "waiting_for": bad, "ended": dead})
    sys.exit(0 if not bad else 3)


def cmd_peers(a):
    net = load(a.dir)
    enter_hub(net)
    p = peer_of(net, a.peer)
    names = names_by_hash(net)
    s = peer_status(net, p, names, True)
    if p["kind"] == "emissary":
        out(s)
        return
    # A console that does not answer, as while its router restarts, shows nothing; why stands in `error`.
    for shown in ("session_list", "tunnel_list", "transit_list", "leaseset_list"):
        s.setdefault(shown, [])
    hops = {}
    for t in s["tunnel_list"]:
        if t["state"] in ("established", "expiring"):
            for h in t["hops"]:
                key = h["hash"]
                hops.setdefault(key, {"name": h["name"], "tunnels": 0})
                hops[key]["tunnels"] += 1
    out({"peer": p["name"], "hash": p["hash"], "sessions": s["session_list"],
         "hops": hops, "tunnels": s["tunnel_list"],
         "transit": s["transit_list"], "leasesets": s["leaseset_list"],
         "error": s.get("error")})


def cmd_routerinfos(a):
    net = load(a.dir)
    if a.refresh:
        collect(net)
        make_reseed(net)
    out({"reseed_zip": f"{net['dir']}/reseed.zip",
         "dir": f"{net['dir']}/routerinfos",
         "files": [{"name": p["name"], "kind": p["kind"], "hash": p["hash"],
                    "floodfill": p["floodfill"],
                    "file": f"{net['dir']}/routerinfos/routerInfo-{p['hash']}.dat",
                    "own": f"{p['dir']}/router.info"} for p in net["peers"]]})


def cmd_seed(a):
    net = load(a.dir)
    res = []
    for f in a.file:
        buf = Path(f).read_bytes()
        info = parse_router_info(buf)
        if info["options"].get("netId") != str(net["netid"]):
            die(f"{f}: netId is {info['options'].get('netId')}, "
                f"the network's is {net['netid']}")
        net["extra"][info["hash"]] = "extra:" + Path(f).name
        (Path(net["dir"]) / "routerinfos" / f"routerInfo-{info['hash']}.dat"
         ).write_bytes(buf)
        for p in net["peers"]:
            if p["hash"] != info["hash"]:
                put_router_info(p["dir"], buf)
        res.append(info["hash"])
    make_reseed(net)
    restarted = []
    rescanned = []
    for p in net["peers"]:       # Java reads its netDb again when asked
        if p["kind"] == "java" and alive(p.get("proc")):
            get = [sys.executable, "-c", "import sys, http.client as h\n"
                   "c = h.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)\n"
                   "c.request('GET', '/rescan')\n"
                   "sys.exit(c.getresponse().status != 200)",
                   p["ip"], str(p["console_port"])]
            if subprocess.run((Spaces(net).hub() if net["mode"] == "netns" else [])
                              + get, stderr=subprocess.DEVNULL).returncode == 0:
                rescanned.append(p["name"])
    if a.restart:
        targets = net["peers"] if not a.peer else [peer_of(net, k) for k in a.peer]
        end([p["proc"] for p in targets])
        # a peer writes its netDb when it ends: put the file again
        for f in a.file:
            for p in targets:
                put_router_info(p["dir"], Path(f).read_bytes())
        for p in targets:
            start_router(net, p)
            restarted.append(p["name"])
    save(net)
    out({"seeded": res, "restarted": restarted, "rescanned": rescanned,
         "note": None if restarted else
         "peers other than java read their netDb only when they start: use --restart, or "
         "let the router under test connect to them or publish itself"})


def cmd_restart(a):
    net = load(a.dir)
    ps = [peer_of(net, k) for k in a.peer]
    end([p["proc"] for p in ps])
    for p in ps:
        start_router(net, p)
    save(net)
    out({"restarted": [p["name"] for p in ps]})


def cmd_stop(a):
    net = load(a.dir)
    ps = [peer_of(net, k) for k in a.peer]
    end([p["proc"] for p in ps])
    out({"stopped": [p["name"] for p in ps]})


def cmd_exec(a):
    net = load(a.dir)
    cmd = list(a.command)
    while cmd[:1] == ["--slot"] and len(cmd) > 1:
        a.slot, cmd = cmd[1], cmd[2:]
    cmd = cmd[1:] if cmd[:1] == ["--"] else cmd
    if not cmd:
        die("no command")
    if net["mode"] == "netns":
        s = Spaces(net)
        cmd = (s.hub() if a.slot == "hub" else s.at(a.slot)) + cmd
    os.execvp(cmd[0], cmd)


def cmd_ri(a):
    out([{"file": f, **router_info_file(f)} for f in a.file])


def cmd_expect(a):
    """Waits until the peers report what is asked; exit 0 or 1."""
    net = load(a.dir)
    enter_hub(net)
    target = a.router
    with contextlib.suppress(OSError, ValueError):
        if os.path.exists(target):
            target = router_info_file(target)["hash"]
    with contextlib.suppress(SystemExit):
        if re.fullmatch(r"\d+|p\d+", target):
            target = peer_of(net, target)["hash"]
    peers = [p for p in net["peers"] if p["kind"] != "emissary"
             and p["hash"] != target]
    if a.peer:
        peers = [peer_of(net, k) for k in a.peer]
    limit = time.time() + a.timeout
    found = {}
    while True:
        names = names_by_hash(net)
        names.setdefault(target, "target")
        for p in peers:
            with contextlib.suppress(OSError):
                if a.what in ("session", "ntcp2", "ssu2"):
                    hits = [s for s in sessions_of(p, names)
                            if s["hash"] == target and
                            (a.what == "session" or
                             s["transport"].lower() == a.what)]
                elif a.what == "hop":
                    hits = [t for t in tunnels_of(p, names)
                            if t["state"] == "established" and
                            any(h["hash"] == target for h in t["hops"])]
                elif a.what == "next":
                    hits = [t for t in transit_of(p, names)
                            if isinstance(t["next"], dict) and
                            t["next"]["hash"] == target]
                elif a.what == "known":
                    f = netdb_path(p["dir"], target)
                    hits = [r for r in java_view(p, "/netdb")["routers"]
                            if r["hash"] == target] if p["kind"] == "java" \
                        else [str(f)] if f.exists() else []
                elif a.what == "published":
                    hits = published_to(p, target)
                elif a.what == "leaseset":
                    hits = [x for x in leasesets_of(p)
                            if x == target.split(".")[0]]
                if hits:
                    found[p["name"]] = hits
        if len(found) >= min(a.count, len(peers)) or time.time() > limit:
            break
        time.sleep(1)
    ok = len(found) >= a.count
    out({"ok": ok, "what": a.what, "router": target, "peers": found})
    sys.exit(0 if ok else 1)
