"""Floodway and a Java router are the floodfills: each holds what the other was told, and Java checks its stores at us."""

import json

from harness.network import eventually

# Java alone of three may find no tunnels before we come: it is not waited for
NETWORK = ["--i2pd-mid", 2, "--java", 1, "--floodfills", "p2", "--wait", 40]


def view(net, path):
    java, = net.of_kind("java")
    return json.loads(net.page(java, path))


def held_by_java(net):
    """Keys of all records that Java's own list shows."""
    netdb = view(net, "/netdb")
    return {record["hash"] for record in netdb["routers"] + netdb["leasesets"]}


def test_what_one_floodfill_is_told_the_other_holds(net, floodway):
    java, = net.of_kind("java")
    net.seed(floodway.router_info, restart=False)
    net.restart(*net.peers)
    net.expect("session", floodway.hash, [java], timeout=120)
    for kind in ("router-info", "lease-set2"):
        key = net.passed_on(kind, floodway, java)
        assert key in held_by_java(net), f"java answers for {key} and does not list it"
        net.passed_on(kind, java, floodway)


def test_java_verifies_its_stores_through_us(net, floodway):
    """A floodfill of Java asks another one for what it has stored; there is none but us."""
    java, = net.of_kind("java")
    before = floodway.metrics().total("netdb_lookups_total", result="found")
    net.echo(java, net.of_kind("i2pd-mid")[0], size=100_000, timeout=150)

    def verified():
        return view(net, "/stats?name=netDb.floodfillVerify").get("netDb.floodfillVerifyOK")
    eventually(verified, "Java counts a verified store", 120, pause=2)
    ours = view(net, "/profiles").get(floodway.hash, {}).get("netdb", {})
    assert ours.get("lookup_ok") is not None and ours.get("store_ok") is not None, f"profile: {ours}"
    assert floodway.metrics().total("netdb_lookups_total", result="found") > before, \
        "we found nothing for anybody"


test_java_verifies_its_stores_through_us.seconds = 600
