"""Floodway beside one i2pd floodfill: what is stored at one of them appears at the other."""

import datetime
import hashlib

from harness.network import eventually
from testnet.routerinfo import b64, unb32, unb64

NETWORK = ["--i2pd-mid", 3, "--floodfills", 1, "--loglevel", "debug"]


def floodfill_of(net):
    return next(p for p in net.peers if p["floodfill"])


def test_a_router_info_stored_only_at_us_appears_there(net, floodway):
    other = floodfill_of(net)
    net.expect("session", floodway.hash, [other])
    net.passed_on("router-info", floodway, other)


def test_a_router_info_stored_only_there_appears_at_us(net, floodway):
    other = floodfill_of(net)
    net.expect("session", floodway.hash, [other])
    net.passed_on("router-info", other, floodway)


def test_a_lease_set_stored_only_at_us_appears_there(net, floodway):
    other = floodfill_of(net)
    net.expect("session", floodway.hash, [other])
    net.passed_on("lease-set2", floodway, other)


def test_a_lease_set_stored_only_there_appears_at_us(net, floodway):
    other = floodfill_of(net)
    net.expect("session", floodway.hash, [other])
    net.passed_on("lease-set2", other, floodway)


def test_lease_sets_of_the_other_types_appear_at_both(net, floodway):
    other = floodfill_of(net)
    net.expect("session", floodway.hash, [other])
    for kind in ("lease-set", "encrypted-lease-set", "meta-lease-set"):
        for told, asked in ((floodway, other), (other, floodway)):
            net.passed_on(kind, told, asked)


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


def test_lease_sets_of_destinations_appear_at_both(net, floodway):
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
            # An i2pd now and then leaves a record in its queue until something else comes; our question is that.
            net.neighbour(other, "lookup", "--patience", 30, "--", "lease-set",
                          b64(unb32(destination)))
            net.expect("leaseset", destination, [other], timeout=30)
        eventually(lambda: floodway.metrics().total("netdb_records", kind="lease_set")
                   >= before + 2, "we hold both new lease sets", 30)
        if all(stored_first.values()):
            return
    raise AssertionError(f"all destinations were closest to the same floodfill: {stored_first}")


test_lease_sets_of_destinations_appear_at_both.seconds = 600
