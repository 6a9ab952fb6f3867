"""Floodway is the only floodfill of six routers, i2pd 2.45.1 and 2.56.0: no lease set is found without it."""

NETWORK = ["--i2pd", 2, "--i2pd-mid", 4, "--floodfills", 0]

MEBIBYTE = 1 << 20


def test_peers_publish_to_us(net, floodway):
    """A peer whose dial crosses ours takes its own for failed and leaves us alone for eight minutes: it starts once more."""
    net.seed(floodway.router_info)
    for peer in net.peers:
        try:
            net.expect("published", floodway.hash, [peer], timeout=30)
        except AssertionError:
            net.restart(peer)
            net.expect("published", floodway.hash, [peer], timeout=60)
    for status in net.status():
        assert status["floodfills"] == 1, f"{status['name']} knows {status['floodfills']} floodfills"


def exchange(net, floodway, sender, receiver, **options):
    """1 MB both ways, or as much as is told; the lease sets on the way pass through us alone. What we counted
    before and after.
    """
    net.expect("session", floodway.hash, timeout=60)
    before = floodway.metrics()
    report = net.echo(sender, receiver, **options)
    assert not report["leaseset_stored_on"], f"also stored on {report['leaseset_stored_on']}"
    after = floodway.metrics()
    for name, labels in (("netdb_stores_total", {"kind": "lease_set", "result": "stored"}),
                         ("netdb_lookups_total", {"kind": "lease_set", "result": "found"})):
        grown = after.total(name, **labels) - before.total(name, **labels)
        assert grown > 0, f"{name}{labels} did not grow"
    return before, after


def test_destinations_of_2_56_meet_through_us(net, floodway):
    exchange(net, floodway, *net.of_kind("i2pd-mid")[:2], size=4 * MEBIBYTE)


def test_a_destination_of_2_45_reaches_one_of_2_56(net, floodway):
    exchange(net, floodway, net.of_kind("i2pd")[0], net.of_kind("i2pd-mid")[2])


def test_a_destination_of_2_56_reaches_one_of_2_45(net, floodway):
    exchange(net, floodway, net.of_kind("i2pd-mid")[3], net.of_kind("i2pd")[1])


def test_destinations_with_elgamal_keys_get_replies_under_aes_tags(net, floodway):
    """Those of i2pd 2.45.1 ask so where their keys are of the old type, which is its default."""
    before, after = exchange(net, floodway, *net.of_kind("i2pd"), size=20_000, enc_type="0")
    grown = after.total("netdb_replies_total", sealed="aes") - \
        before.total("netdb_replies_total", sealed="aes")
    assert grown > 0, "no reply was sealed under an AES tag"


for slow in (test_a_destination_of_2_45_reaches_one_of_2_56, test_a_destination_of_2_56_reaches_one_of_2_45,
             test_destinations_with_elgamal_keys_get_replies_under_aes_tags):
    slow.seconds = 450
