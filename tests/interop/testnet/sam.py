"""Destinations on the peers' SAM bridges (v3.1), and bytes between two of them."""

import concurrent.futures
import contextlib
import hashlib
import os
import re
import socket
import sys
import time

from .common import note, out
from .network import load, names_by_hash, peer_of
from .processes import alive, enter_hub
from .routerinfo import b32, identity_length, unb64
from .views import console, i2pd_tunnels, java_tunnels, leasesets_of


class Sam:
    def __init__(self, addr, port, timeout):
        self.s = socket.create_connection((addr, port), timeout=timeout)
        self.s.settimeout(timeout)
        self.buf = b""
        self.ask("HELLO VERSION MIN=3.0 MAX=3.1")

    def line(self):
        while b"\n" not in self.buf:
            d = self.s.recv(4096)
            if not d:
                raise RuntimeError("SAM connection closed")
            self.buf += d
        text, self.buf = self.buf.split(b"\n", 1)
        return text.decode()

    def ask(self, text, expect="OK"):
        self.s.sendall(text.encode() + b"\n")
        r = self.line()
        f = dict(x.split("=", 1) for x in r.split() if "=" in x)
        if expect and f.get("RESULT") != expect:
            raise RuntimeError(f"SAM: {text.split()[0]}: {r[:300]}")
        return f

    def read(self, n):
        while len(self.buf) < n:
            d = self.s.recv(65536)
            if not d:
                break
            self.buf += d
        d, self.buf = self.buf[:n], self.buf[n:]
        return d

    def close(self):
        self.s.close()


def sam_session(p, name, opts, timeout):
    c = Sam(p["ip"], p["sam_port"], timeout)
    o = " ".join(f"{k}={v}" for k, v in opts.items())
    c.ask(f"SESSION CREATE STYLE=STREAM ID={name} DESTINATION=TRANSIENT "
          f"SIGNATURE_TYPE=7 {o}")
    dest = c.ask("NAMING LOOKUP NAME=ME")["VALUE"]
    return c, dest


def dest_b32(dest):
    d = unb64(dest)
    return b32(hashlib.sha256(d[:identity_length(d)]).digest())


def session_options(net, a):
    opts = {"inbound.length": a.length, "outbound.length": a.length,
            "inbound.quantity": a.quantity, "outbound.quantity": a.quantity,
            "i2cp.leaseSetEncType": a.enc_type}
    for kv in a.option or []:
        k, _, v = kv.partition("=")
        opts[k] = v
    via = [peer_of(net, h)["hash"] if re.fullmatch(r"p?\d+", h) else h
           for h in (a.via or "").split(",") if h]
    if via:
        opts["explicitPeers"] = ",".join(via)
    return opts


def connect(peers, session, dest, timeout):
    """A stream to dest; repeated until it opens or the time is up."""
    pa = peers[0]
    error = "no attempt"
    limit = time.time() + timeout
    while time.time() < limit:
        con = None
        try:
            con = Sam(pa["ip"], pa["sam_port"], timeout)
            con.ask(f"STREAM CONNECT ID={session} DESTINATION={dest} SILENT=false")
            return con
        except (RuntimeError, OSError) as e:
            error = str(e)
            if con:
                con.close()
            if not all(alive(p["proc"]) for p in peers):
                break
            time.sleep(2)
    raise RuntimeError(error)


def serve(acc, size):
    """Sends back what the caller sends."""
    acc.line()                           # destination of the caller
    n = 0
    while n < size:
        d = acc.read(min(65536, size - n))
        if not d:
            break
        acc.s.sendall(d)
        n += len(d)
    return n


def feed(con, size):
    """Random bytes; answers with their hash."""
    h = hashlib.sha256()
    n = 0
    while n < size:
        d = os.urandom(min(1 << 16, size - n))
        con.s.sendall(d)
        h.update(d)
        n += len(d)
    return h.digest()


def echo(con, acc, size):
    """Bytes that came back, whether they are those that were sent, and the error if any."""
    pool = concurrent.futures.ThreadPoolExecutor(2)
    serving = pool.submit(serve, acc, size)
    feeding = pool.submit(feed, con, size)
    h = hashlib.sha256()
    n = 0
    try:
        while n < size:
            d = con.read(min(65536, size - n))
            if not d:
                break
            h.update(d)
            n += len(d)
        same = feeding.result(10) == h.digest() and serving.result(10) == size
        return n, same, None
    except Exception as e:                          # noqa: BLE001
        return n, False, repr(e)


def own_tunnels(p, dest, names):
    if p["kind"] == "java":
        own = [t for t in java_tunnels(p, names) if t["client"] == dest_b32(dest)]
    else:
        own = i2pd_tunnels(console(p, "local_destination&b32=" + dest_b32(dest)), names)
    return [{"direction": x["direction"], "state": x["state"],
             "hops": [h["name"] or h["hash"] for h in x["hops"]]} for x in own]


def lease_set_stores(net, dests):
    stores = {}
    for p in net["peers"]:
        if p["kind"] == "emissary":
            continue
        with contextlib.suppress(OSError):
            held = leasesets_of(p)
            for label, d in dests.items():
                if dest_b32(d) in held:
                    stores.setdefault(label, []).append(p["name"])
    return stores


def finish(code):
    """Ends without waiting for threads that may hang in a stream."""
    sys.stdout.flush()
    os._exit(code)


def cmd_sam_echo(a):
    net = load(a.dir)
    enter_hub(net)
    pa, pb = peer_of(net, a.A), peer_of(net, a.B)
    names = names_by_hash(net)
    opts = session_options(net, a)
    tag = f"{os.getpid()}"
    t0 = time.time()
    with concurrent.futures.ThreadPoolExecutor(2) as ex:
        fa = ex.submit(sam_session, pa, "ta" + tag, opts, a.timeout)
        fb = ex.submit(sam_session, pb, "tb" + tag, opts, a.timeout)
        sessions = [fa.result(), fb.result()]    # they end with their connections
    da, db = (dest for _, dest in sessions)
    t1 = time.time()
    note(f"both sessions are up after {t1 - t0:.1f} s")
    acc = Sam(pb["ip"], pb["sam_port"], a.timeout)
    acc.ask(f"STREAM ACCEPT ID=tb{tag} SILENT=false")
    try:
        con = connect((pa, pb), "ta" + tag, db, a.timeout)
    except RuntimeError as e:
        out({"ok": False, "error": str(e),
             "destinations": {"from": dest_b32(da), "to": dest_b32(db)}})
        finish(1)
    t2 = time.time()
    note(f"stream is open after {t2 - t0:.1f} s")
    n, same, error = echo(con, acc, a.bytes)
    t3 = time.time()
    tunnels = {}
    for label, p, d in (("from", pa, da), ("to", pb, db)):
        if p["kind"] != "emissary":
            with contextlib.suppress(OSError):
                tunnels[label] = own_tunnels(p, d, names)
    r = {"ok": error is None and n == a.bytes and same,
         "error": error, "from": pa["name"], "to": pb["name"],
         "bytes_each_way": n,
         "seconds": {"sessions": round(t1 - t0, 2), "connect": round(t2 - t1, 2),
                     "transfer": round(t3 - t2, 2)},
         "bytes_per_second": round(n / max(t3 - t2, 1e-6)),
         "destinations": {"from": dest_b32(da), "to": dest_b32(db)},
         "tunnels": tunnels,
         "leaseset_stored_on": lease_set_stores(net, {"from": da, "to": db})}
    out(r)
    if a.hold:
        note(f"holding the sessions for {a.hold} s")
        sys.stdout.flush()
        time.sleep(a.hold)
    finish(0 if r["ok"] else 1)
