"""Floodway beside one i2pd floodfill: what is stored at one of them appears at the other."""

import datetime
import hashlib
import re

from harness.network import eventually
from testnet.routerinfo import unb32, unb64

NETWORK = ["--i2pd-mid", 3, "--floodfills", 1, "--loglevel", "debug"]


def floodfill_of(net):
    return next(p for p in net.peers if p["floodfill"])


def newcomer(net, *known):
    """A new i2pd that knows one floodfill and is connected to none: it publishes through its tunnels,
    so that no handshake tells its RouterInfo to anybody but its two neighbours.
    """
    neighbours = [p for p in net.peers if not p["floodfill"]]
    return net.i2pd("rut1", reseed=[*known, *neighbours], floodfill=False, neighbours=neighbours)


def published_to(new):
    """The first characters of the floodfills that it published to."""
    return set(re.findall(r"Publishing our RouterInfo to (\S{4})", new.router_log()))


def test_a_router_info_stored_only_there_appears_at_us(net, floodway):
    other = floodfill_of(net)
    net.expect("session", floodway.hash, timeout=60)

    def records():
        return floodway.metrics().total("netdb_records", kind="router_info")
    assert records() == len(net.peers) or net.settings.stand_in, f"{records()} RouterInfos to begin with"
    new = newcomer(net, other)
    eventually(lambda: published_to(new) and records() > len(net.peers), "we hold one more RouterInfo", 90)
    assert published_to(new) == {other["hash"][:4]}, f"it published to {published_to(new)}"
    assert floodway.ip not in new.transports(), "it has a session with us"
    new.stop()


def test_a_router_info_stored_only_at_us_appears_there(net, floodway):
    other = floodfill_of(net)
    net.expect("session", floodway.hash, timeout=60)
    new = newcomer(net, floodway.router_info)
    net.expect("known", new.hash, [other], timeout=150)
    assert published_to(new) == {floodway.hash[:4]}, f"it published to {published_to(new)}"
    assert other["ip"] not in new.transports(), f"it has a session with {other['name']}"
    new.stop()


def test_the_other_floodfill_confirms_our_publication(net, floodway):
    other = floodfill_of(net)
    eventually(lambda: floodway.metrics().total("publications_confirmed_total"),
               "a publication of ours is confirmed", 90)
    net.expect("known", floodway.hash, [other], timeout=90)


def distance(destination, router):
    """How far a router is from the key under which a destination is stored today."""
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d").encode()
    key = hashlib.sha256(unb32(destination) + today).digest()
    return int.from_bytes(key, "big") ^ int.from_bytes(unb64(router), "big")


def test_lease_sets_stored_at_one_appear_at_the_other(net, floodway):
    """A destination publishes at the floodfill closest to it. Destinations are made until each of the
    two was closest to one; all of them must be held by both.
    """
    other = floodfill_of(net)
    publishers = [p for p in net.peers if not p["floodfill"]]
    net.seed(floodway.router_info)
    net.expect("session", floodway.hash, timeout=90)
    stored_first = {"us": 0, "there": 0}
    for _ in range(6):
        before = floodway.metrics().total("netdb_records", kind="lease_set")
        report = net.echo(*publishers, size=20_000, length=1)
        for destination in report["destinations"].values():
            ours = distance(destination, floodway.hash) < distance(destination, other["hash"])
            stored_first["us" if ours else "there"] += 1
            net.expect("leaseset", destination, [other], timeout=30)
        eventually(lambda: floodway.metrics().total("netdb_records", kind="lease_set")
                   >= before + 2, "we hold both new lease sets", 30)
        if all(stored_first.values()):
            return
    raise AssertionError(f"all destinations were closest to the same floodfill: {stored_first}")


test_lease_sets_stored_at_one_appear_at_the_other.seconds = 600
