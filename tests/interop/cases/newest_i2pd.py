"""The newest i2pd there is, which moves under the tests and therefore only reports."""

GATING = False
NETWORK = ["--i2pd-new", 3, "--floodfills", 1]


def test_sessions(net, floodway):
    net.expect("ntcp2", floodway.hash, timeout=90)


def test_the_only_hop(net, floodway):
    net.expect("session", floodway.hash, timeout=60)
    net.echo(*net.peers[:2], length=1, via=[floodway.hash])


def test_first_and_last_of_two(net, floodway):
    net.expect("session", floodway.hash, timeout=60)
    for via in ([floodway.hash, "p2"], ["p2", floodway.hash]):
        net.echo(*net.peers[:2], length=2, via=via)
