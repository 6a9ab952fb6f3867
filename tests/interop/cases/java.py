"""Java I2P uses Floodway as a hop."""

# Java alone of three may find no tunnels before we come: it is not waited for
NETWORK = ["--i2pd-mid", 2, "--java", 1, "--wait", 40]


def test_java_lists_us_as_a_hop(net, floodway):
    """Its tunnels are new after its restart, and it keeps to the hops of the first ones: within five minutes, and after
    one more restart at the most, one of them has us.
    """
    java = net.of_kind("java")
    net.expect("session", floodway.hash, net.of_kind("i2pd-mid"), timeout=60)
    net.seed(floodway.router_info, restart=False)
    net.restart(*java)
    try:
        net.expect("hop", floodway.hash, java, timeout=140)
    except AssertionError:
        net.restart(*java)
        net.expect("hop", floodway.hash, java, timeout=140)
    assert floodway.metrics().total("transit_tunnels") > 0, "no transit tunnels are counted"


test_java_lists_us_as_a_hop.seconds = 400


def test_java_has_a_session_with_us(net, floodway):
    net.expect("ntcp2", floodway.hash, net.of_kind("java"), timeout=60)
