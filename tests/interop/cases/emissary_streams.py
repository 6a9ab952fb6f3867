"""A stream from i2pd to emissary, whose floodfills are Floodway and an i2pd."""

NETWORK = ["--i2pd-mid", 4, "--emissary", 1, "--emissary-insecure", "--floodfills", "p0"]

MEBIBYTE = 1 << 20
# What i2pd logs that has a dial of its own cross one of both floodfills': it leaves them alone for eight minutes.
NO_FLOODFILL = "no floodfills found"


def test_a_destination_of_i2pd_reaches_one_of_emissary(net, floodway):
    _, sender, *_ = net.of_kind("i2pd-mid")
    receiver, = net.of_kind("emissary")
    net.seed(floodway.router_info)
    net.expect("session", floodway.hash, timeout=60)
    before = floodway.metrics()
    try:
        net.echo(sender, receiver, size=MEBIBYTE)
    except AssertionError:
        if NO_FLOODFILL not in net.log(sender):
            raise
        net.restart(sender)
        net.echo(sender, receiver, size=MEBIBYTE)
    after = floodway.metrics()
    labels = {"kind": "lease_set", "result": "stored"}
    grown = after.total("netdb_stores_total", **labels) - before.total("netdb_stores_total", **labels)
    assert grown > 0, "we were told of neither lease set"


test_a_destination_of_i2pd_reaches_one_of_emissary.seconds = 400
