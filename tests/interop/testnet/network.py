"""A network on disk: its description, the RouterInfos that its peers know, its end."""

import json
import time
import contextlib
import zipfile
from pathlib import Path

from .common import die
from .processes import alive, end
from .routerinfo import router_info_file


def save(net):
    tmp = Path(net["dir"]) / "net.json.tmp"
    tmp.write_text(json.dumps(net, indent=1))
    tmp.rename(Path(net["dir"]) / "net.json")


def load(d):
    f = Path(d).resolve() / "net.json"
    if not f.exists():
        die(f"{d}: no test network here (run `testnet up --dir {d}` first)")
    return json.loads(f.read_text())


def peer_of(net, key):
    for p in net["peers"]:
        if key in (str(p["index"]), p["name"], p["hash"]):
            return p
    die(f"no peer {key}")


def names_by_hash(net):
    """hash -> name, for the peers and for every other RouterInfo seen."""
    m = {p["hash"]: p["name"] for p in net["peers"]}
    for h, n in net.get("extra", {}).items():
        m.setdefault(h, n)
    for p in net["peers"]:
        for f in Path(p["dir"]).glob("netDb/r*/routerInfo-*.dat"):
            h = f.name[len("routerInfo-"):-len(".dat")]
            m.setdefault(h, "other:" + h[:8])
    return m


def make_reseed(net):
    tmp = Path(net["dir"]) / "reseed.zip.tmp"
    with zipfile.ZipFile(tmp, "w", zipfile.ZIP_DEFLATED) as z:
        for f in sorted(Path(net["dir"], "routerinfos").glob("routerInfo-*.dat")):
            z.write(f, f.name)
    tmp.rename(Path(net["dir"]) / "reseed.zip")


def collect(net):
    """Copies every peer's own router.info into DIR/routerinfos."""
    d = Path(net["dir"]) / "routerinfos"
    d.mkdir(exist_ok=True)
    for p in net["peers"]:
        buf = Path(p["dir"], "router.info").read_bytes()
        (d / f"routerInfo-{p['hash']}.dat").write_bytes(buf)


def wait_router_info(net, p, limit):
    f = Path(p["dir"]) / "router.info"
    while time.time() < limit:
        if f.exists():
            with contextlib.suppress(Exception):
                info = router_info_file(f)
                # Java's first router.info has no addresses yet
                if info["options"].get("netId") == str(net["netid"]) and (
                        p["kind"] != "java" or len(info["addresses"]) >=
                        net["options"]["ntcp2"] + net["options"]["ssu2"]):
                    return info
        if not alive(p["proc"]):
            log = Path(p["dir"]) / "router.log"
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise RuntimeError(f"{p['name']} ended at its first start\n{tail}")
        time.sleep(0.1)
    raise RuntimeError(f"{p['name']} wrote no router.info")


def stop_all(net):
    end([p.get("proc") for p in net["peers"] if p.get("proc")])
    end([r for r in net.get("runs", [])])
    end([s["holder"] for s in net.get("slots", {}).values()], grace=2)
    if net.get("hub"):
        end([net["hub"]], grace=2)
