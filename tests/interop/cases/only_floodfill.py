"""Floodway is the only floodfill of i2pd 2.45.1 and 2.56.0: no lease set is found without it."""

NETWORK = ["--i2pd", 1, "--i2pd-mid", 2, "--floodfills", 0]


def test_peers_publish_to_us(net, floodway):
    net.seed(floodway.router_info)
    net.expect("published", floodway.hash, timeout=60)
    for status in net.status():
        assert status["floodfills"] == 1, f"{status['name']} knows {status['floodfills']} floodfills"


def exchange(net, floodway, sender, receiver):
    """1 MB both ways; the lease sets on the way pass through us alone."""
    net.expect("session", floodway.hash, timeout=60)
    before = floodway.metrics()
    report = net.echo(sender, receiver)
    assert not report["leaseset_stored_on"], f"also stored on {report['leaseset_stored_on']}"
    after = floodway.metrics()
    for name, labels in (("netdb_stores_total", {"kind": "lease_set", "result": "stored"}),
                         ("netdb_lookups_total", {"kind": "lease_set", "result": "found"})):
        grown = after.total(name, **labels) - before.total(name, **labels)
        assert grown > 0, f"{name}{labels} did not grow"


def test_destinations_of_2_56_meet_through_us(net, floodway):
    exchange(net, floodway, *net.of_kind("i2pd-mid")[:2])


def test_a_destination_of_2_45_reaches_one_of_2_56(net, floodway):
    exchange(net, floodway, net.of_kind("i2pd")[0], net.of_kind("i2pd-mid")[0])


def test_a_destination_of_2_56_reaches_one_of_2_45(net, floodway):
    exchange(net, floodway, net.of_kind("i2pd-mid")[1], net.of_kind("i2pd")[0])


test_a_destination_of_2_45_reaches_one_of_2_56.seconds = 450
test_a_destination_of_2_56_reaches_one_of_2_45.seconds = 450
