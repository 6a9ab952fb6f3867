"""What the peers say of themselves: i2pd's web console and I2PControl, emissary's metrics,
the Java peer's JSON views.
"""

import concurrent.futures
import contextlib
import html
import http.client
import json
import re
import ssl
from pathlib import Path

from .common import CONTROL_PASSWORD
from .network import names_by_hash
from .processes import alive
from .routerinfo import router_info_file


def http_get(addr, port, path, timeout=10):
    c = http.client.HTTPConnection(addr, port, timeout=timeout)
    try:
        c.request("GET", path)
        return c.getresponse().read().decode("utf-8", "replace")
    finally:
        c.close()


def console(p, page=""):
    return http_get(p["ip"], p["console_port"], f"/?page={page}" if page else "/")


def strip(t):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", t))).strip()


def field(t, name, pat=r"\s*(\d+)"):
    m = re.search(re.escape(name) + r":</b>" + pat, t)
    return m.group(1) if m else None


def full_hash(abbr, names):
    """Expands the console's shortened hash, when only one router fits."""
    c = [h for h in names if h.startswith(abbr)]
    return c[0] if len(c) == 1 else None


def who(abbr, names):
    h = full_hash(abbr, names)
    return {"name": names.get(h), "hash": h} if h \
        else {"name": None, "hash": abbr + "..."}


def i2pd_sessions(p, names):
    res = []
    t = console(p, "transports")
    for m in re.finditer(r"<b>(NTCP2|SSU2)(v6)?</b>(.*?)(?=<b>(?:NTCP2|SSU2)|\Z)",
                         t, re.S):
        for item in re.findall(r"<div class=\"listitem\">(.*?)</div>", m.group(3),
                               re.S):
            x = html.unescape(re.sub(r"<[^>]*>", "", item)).strip()
            s = re.match(r"(⇒)?\s*([A-Za-z0-9~-]{4})\s*:\s*(\S+):(\d+)\s*(⇒)?"
                         r"\s*\[(\d+):(\d+)\]", x)
            if s:
                res.append({"transport": m.group(1),
                            "out": bool(s.group(1)), **who(s.group(2), names),
                            "endpoint": f"{s.group(3)}:{s.group(4)}",
                            "sent": int(s.group(6)), "received": int(s.group(7)),
                            "relay_tag": "[itag:" in x})
    return res


def i2pd_tunnels(t, names):
    """Tunnels on a console page: hops in the order that data goes."""
    res = []
    parts = re.split(r"<b>(Inbound|Outbound) tunnels:</b>", t)
    for kind, body in zip(parts[1::2], parts[2::2]):
        for item in re.findall(r"<div class=\"listitem\">(.*?)</div>", body, re.S):
            x = strip(item)
            hops = []
            chain, _, rest = x.partition("(") if "ms )" in x else (x, "", "")
            for part in chain.split("⇒"):
                m = re.match(r"\s*([A-Za-z0-9~-]{4})(?=\s|$)(?!:)", part)
                if m and not re.match(r"\s*\d+:me", part):
                    hops.append(who(m.group(1), names))
            tid = re.search(r"(\d+):me", x)
            state = re.search(r"\b(established|building|declined|failed|expiring|"
                              r"built|unknown|recreated|test failed)\b", x)
            lat = re.search(r"\(\s*(\d+)ms", x)
            res.append({"direction": kind.lower(),
                        "id": int(tid.group(1)) if tid else None,
                        "state": state.group(1) if state else None,
                        "exploratory": "exploratory" in x,
                        "hops": hops,
                        "latency_ms": int(lat.group(1)) if lat else None,
                        "bytes": (re.search(r"([\d.]+ \S?i?B)\s*$", x) or
                                  [None, None])[1]})
    return res


def i2pd_transit(t, names):
    res = []
    for row in re.findall(r"<tr[^>]*>(\s*<td.*?)</tr>", t, re.S):
        c = [html.unescape(re.sub(r"<[^>]*>", "", x)).strip()
             for x in re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)]
        if len(c) >= 4 and c[1].isdigit():
            role = {(False, True): "gateway", (True, False): "endpoint"}.get(
                (bool(c[0]), bool(c[2])), "participant")
            nxt = c[4] if len(c) > 4 else ""
            m = re.match(r"([A-Za-z0-9~-]{4})", nxt)
            res.append({"id": int(c[1]), "role": role, "amount": c[3],
                        "next": who(m.group(1), names) if m else nxt or None})
    if not res:   # 2.45.1 shows a list instead of a table
        for item in re.findall(r"<div class=\"listitem\">(.*?)</div>", t, re.S):
            x = html.unescape(re.sub(r"<[^>]*>", "", item)).strip()
            m = re.match(r"(⇒)?\s*(\d+)\s*(⇒)?\s*(.*)", x)
            if m:
                role = "participant" if m.group(1) and m.group(3) else \
                    "gateway" if m.group(3) else "endpoint"
                res.append({"id": int(m.group(2)), "role": role,
                            "amount": m.group(4).strip(), "next": None})
    return res


def i2pd_leasesets(p):
    t = console(p, "leasesets")
    return [x for x in re.findall(r"<label for=\"slide\d+\">([a-z2-7]{52})</label>", t)]


def i2pcontrol(p, method, params):
    """I2PControl; answers with the result."""
    ctx = ssl.create_default_context()
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE

    def call(method, params):
        c = http.client.HTTPSConnection(p["ip"], p["control_port"], timeout=10,
                                        context=ctx)
        try:
            c.request("POST", "/jsonrpc", json.dumps(
                {"id": 1, "jsonrpc": "2.0", "method": method, "params": params}),
                {"Content-Type": "application/json"})
            return json.loads(c.getresponse().read().decode())["result"]
        finally:
            c.close()
    token = call("Authenticate", {"API": 1, "Password": CONTROL_PASSWORD})["Token"]
    return call(method, {**params, "Token": token})


def java_view(p, path):
    r = json.loads(http_get(p["ip"], p["console_port"], path, timeout=40))
    if isinstance(r, dict) and set(r) == {"error"}:
        raise OSError(f"{p['name']}: {path}: {r['error']}")
    return r


def named(h, names):
    return {"name": names.get(h), "hash": h}


def java_sessions(p, names):
    return [{**s, **named(s["hash"], names)} for s in java_view(p, "/sessions")]


def java_tunnels(p, names):
    return [{**t, "hops": [named(h, names) for h in t["hops"]]}
            for t in java_view(p, "/tunnels")]


def java_transit(p, names):
    return [{**t, "previous": t["previous"] and named(t["previous"], names),
             "next": t["next"] and named(t["next"], names)}
            for t in java_view(p, "/transit")]


def java_leasesets(p):
    """LeaseSets in the router's own netDb, those of its clients left out."""
    return [x["b32"] for x in java_view(p, "/netdb")["leasesets"]
            if x["where"] == "main" and not x["local"]]


def sessions_of(p, names):
    return (java_sessions if p["kind"] == "java" else i2pd_sessions)(p, names)


def tunnels_of(p, names):
    return java_tunnels(p, names) if p["kind"] == "java" else \
        i2pd_tunnels(console(p, "tunnels"), names)


def transit_of(p, names):
    return java_transit(p, names) if p["kind"] == "java" else \
        i2pd_transit(console(p, "transit_tunnels"), names)


def leasesets_of(p):
    return (java_leasesets if p["kind"] == "java" else i2pd_leasesets)(p)


def java_status(p, names, s, detail):
    v = java_view(p, "/status")
    b = v["builds"]
    ok = b["exploratory_success"] + b["client_success"]
    tried = sum(b.values())
    s.update(uptime=f"{v['uptime']} s", network=v["network"],
             success_rate=str(round(100 * ok / tried)) if tried > 0 else None,
             routers=v["routers"], floodfills=v["floodfills"],
             leasesets=v["leasesets"],
             client_tunnels=sum(v["client_tunnels"].values()),
             transit_tunnels=v["transit_tunnels"], sessions=v["sessions"],
             tunnels_established=v["tunnels_established"], builds=b,
             transit_refused={k: n for k, n in v["transit_refused"].items()
                              if n > 0},
             tunnel_status=v["tunnel_status"])
    if detail:
        s["session_list"] = java_sessions(p, names)
        s["tunnel_list"] = java_tunnels(p, names)
        s["transit_list"] = java_transit(p, names)
        s["netdb"] = java_view(p, "/netdb")
        s["leaseset_list"] = java_leasesets(p)
        s["profiles"] = {h: {"name": names.get(h), **x}
                         for h, x in java_view(p, "/profiles").items()}


def emissary_metrics(p):
    t = http_get("127.0.0.1" if p.get("mode") == "loopback" else p["ip"],
                 p["metrics_port"], "/metrics")
    m = {}
    for line in t.splitlines():
        if line.startswith("#"):
            continue
        x = re.match(r"([a-zA-Z_:][\w:]*)(\{[^}]*\})?\s+(\S+)", line)
        if x:
            m[x.group(1) + (x.group(2) or "")] = float(x.group(3))
    return m


def peer_status(net, p, names, detail=False):
    s = {"name": p["name"], "kind": p["kind"], "hash": p["hash"], "ip": p["ip"],
         "port": p["port"], "running": alive(p.get("proc"))}
    s["netdb_files"] = sum(1 for _ in Path(p["dir"]).glob(
        "netDb/r*/routerInfo-*.dat"))
    with contextlib.suppress(Exception):
        own = router_info_file(Path(p["dir"]) / "router.info")
        s["caps"] = own["options"].get("caps")
        s["router_version"] = own["options"].get("router.version")
    if not s["running"]:
        return s
    try:
        if p["kind"] == "emissary":
            m = emissary_metrics(p)
            s["floodfills"] = int(m.get("netdb_floodfill_count", 0))
            s["transit_tunnels"] = int(m.get("transit_tunnels_count", 0))
            s["sessions"] = {
                "NTCP2": int(m.get("ntcp2_connection_count", 0)),
                "SSU2": int(m.get("ssu2_active_connection_count", 0))}
            s["tunnels_established"] = {
                "inbound": int(m.get("tunnel_inbound_count", 0)),
                "outbound": int(m.get("tunnel_outbound_count", 0))}
            if detail:
                s["metrics"] = {k: v for k, v in sorted(m.items())
                                if "_bucket{" not in k}
            return s
        if p["kind"] == "java":
            java_status(p, names, s, detail)
            return s
        t = console(p)
        s["uptime"] = (re.search(r"Uptime:</b>\s*([^<]*)", t) or [0, ""])[1].strip()
        s["network"] = (re.search(r"Network status:</b>\s*([^<]*)", t) or
                        [0, ""])[1].strip()
        s["success_rate"] = field(t, "Tunnel creation success rate", r"\s*(\d+)%")
        s["routers"] = int(field(t, "Routers") or 0)
        s["floodfills"] = int(field(t, "Floodfills") or 0)
        s["leasesets"] = int(field(t, "LeaseSets") or 0)
        s["client_tunnels"] = int(field(t, "Client Tunnels") or 0)
        s["transit_tunnels"] = int(field(t, "Transit Tunnels") or 0)
        s["transit_traffic"] = strip((re.search(r"Transit:</b>([^<]*)", t) or
                                      [0, ""])[1])
        ses = i2pd_sessions(p, names)
        s["sessions"] = {"NTCP2": sum(x["transport"] == "NTCP2" for x in ses),
                         "SSU2": sum(x["transport"] == "SSU2" for x in ses)}
        tun = i2pd_tunnels(console(p, "tunnels"), names)
        s["tunnels_established"] = {
            x: sum(1 for y in tun if y["direction"] == x and
                   y["state"] == "established" and y["hops"])
            for x in ("inbound", "outbound")}
        if detail:
            s["session_list"] = ses
            s["tunnel_list"] = tun
            s["transit_list"] = i2pd_transit(console(p, "transit_tunnels"), names)
            s["leaseset_list"] = i2pd_leasesets(p)
            with contextlib.suppress(Exception):
                s["i2pcontrol"] = i2pcontrol(p, "RouterInfo", {
                    "i2p.router.version": "", "i2p.router.net.status": "",
                    "i2p.router.netdb.knownpeers": "",
                    "i2p.router.netdb.activepeers": "",
                    "i2p.router.net.tunnels.participating": "",
                    "i2p.router.net.tunnels.successrate": ""})
    except (OSError, ValueError, http.client.HTTPException) as e:
        s["error"] = str(e)
    return s


def all_status(net, detail=False):
    names = names_by_hash(net)
    with concurrent.futures.ThreadPoolExecutor(8) as ex:
        return list(ex.map(lambda p: peer_status(net, p, names, detail),
                           net["peers"]))


def is_ready(net, s):
    if not s["running"] or "error" in s:
        return False
    t = s["tunnels_established"]
    return t["inbound"] >= 1 and t["outbound"] >= 1


def published_to(p, target):
    """Log lines of a peer: its RouterInfo stored on target and confirmed.

    Needs log level info; the log names the floodfill by its first characters.
    """
    if p["kind"] == "java":
        x = java_view(p, "/profiles").get(target, {}).get("netdb", {})
        return [x] if x.get("store_ok") is not None else []
    sent, hits = {}, []
    with open(Path(p["dir"]) / "router.log", errors="replace") as f:
        for line in f:
            m = re.search(r"Publishing our RouterInfo to (\S{4})\S*\. "
                          r"reply token=(\d+)", line)
            if m:
                sent[m.group(2)] = m.group(1)
            m = re.search(r"Publishing confirmed\. reply token=(\d+)", line)
            if m and target.startswith(sent.get(m.group(1), "?")):
                hits.append(line.strip())
    return hits
