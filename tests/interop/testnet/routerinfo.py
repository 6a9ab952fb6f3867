"""I2P structures: enough of a RouterInfo to name it and to show it."""

import base64
import hashlib
import struct
from pathlib import Path


I2P64 = bytes.maketrans(b"+/", b"-~")
FROM64 = bytes.maketrans(b"-~", b"+/")


def b64(data):
    return base64.b64encode(data).translate(I2P64).decode()


def unb64(text):
    return base64.b64decode(text.encode().translate(FROM64) + b"==")


def b32(data):
    return base64.b32encode(data).decode().lower().rstrip("=")


def unb32(text):
    return base64.b32decode(text.upper() + "=" * (-len(text) % 8))


def identity_length(buf):
    if len(buf) < 387:
        raise ValueError("too short for an identity")
    return 387 + struct.unpack(">H", buf[385:387])[0]


def read_mapping(buf, pos):
    size = struct.unpack(">H", buf[pos:pos + 2])[0]
    pos += 2
    stop = pos + size
    m = {}
    while pos < stop:
        n = buf[pos]
        key = buf[pos + 1:pos + 1 + n].decode("utf-8", "replace")
        pos += 1 + n
        if buf[pos:pos + 1] != b"=":
            raise ValueError("bad mapping")
        n = buf[pos + 1]
        val = buf[pos + 2:pos + 2 + n].decode("utf-8", "replace")
        pos += 2 + n
        if buf[pos:pos + 1] != b";":
            raise ValueError("bad mapping")
        m[key] = val
        pos += 1
    return m, stop


def parse_router_info(buf):
    n = identity_length(buf)
    h = hashlib.sha256(buf[:n]).digest()
    published = struct.unpack(">Q", buf[n:n + 8])[0]
    count = buf[n + 8]
    pos = n + 9
    addrs = []
    for _ in range(count):
        cost = buf[pos]
        pos += 9                                   # cost, expiration
        k = buf[pos]
        style = buf[pos + 1:pos + 1 + k].decode("ascii", "replace")
        pos += 1 + k
        opts, pos = read_mapping(buf, pos)
        addrs.append({"style": style, "cost": cost, **opts})
    pos += 1 + 32 * buf[pos]
    opts, pos = read_mapping(buf, pos)
    sig_type = crypto_type = None
    if buf[384] == 5:
        sig_type, crypto_type = struct.unpack(">HH", buf[387:391])
    return {"hash": b64(h), "b32": b32(h), "published": published / 1000.0,
            "sig_type": sig_type, "crypto_type": crypto_type,
            "addresses": addrs, "options": opts,
            "length": len(buf), "signed_length": pos}


def router_info_file(path):
    with open(path, "rb") as f:
        return parse_router_info(f.read())


def netdb_path(base, h):
    return Path(base) / "netDb" / f"r{h[0]}" / f"routerInfo-{h}.dat"


def put_router_info(base, buf):
    h = parse_router_info(buf)["hash"]
    p = netdb_path(base, h)
    p.parent.mkdir(parents=True, exist_ok=True)
    p.write_bytes(buf)
    return h
