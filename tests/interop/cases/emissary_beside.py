"""Floodway and an i2pd are the floodfills of a network with emissary, which wants two."""

NETWORK = ["--i2pd-mid", 3, "--emissary", 1, "--floodfills", "p0"]


def test_what_one_floodfill_is_told_the_other_holds(net, floodway):
    other, *_ = net.of_kind("i2pd-mid")
    net.seed(floodway.router_info)
    net.expect("session", floodway.hash, [other], timeout=90)
    for kind in ("router-info", "lease-set2"):
        net.passed_on(kind, floodway, other)
        net.passed_on(kind, other, floodway)


def test_a_destination_of_i2pd_reaches_one_of_emissary(net, floodway):
    """Builds of emissary fail often in so small a network, and then a destination has no way in: it is given another."""
    _, sender, _ = net.of_kind("i2pd-mid")
    receiver, = net.of_kind("emissary")
    net.expect("session", floodway.hash, timeout=60)
    before = floodway.metrics()
    try:
        net.echo(sender, receiver, size=100_000, timeout=60)
    except AssertionError:
        net.echo(sender, receiver, size=100_000)
    after = floodway.metrics()
    labels = {"kind": "lease_set", "result": "stored"}
    grown = after.total("netdb_stores_total", **labels) - before.total("netdb_stores_total", **labels)
    assert grown > 0, "we were told of neither lease set"


test_a_destination_of_i2pd_reaches_one_of_emissary.seconds = 400
