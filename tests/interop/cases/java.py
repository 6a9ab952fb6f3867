"""Java I2P uses Floodway as a hop, in each role."""

import time

from harness.forced import hop_names

MEBIBYTE = 1 << 20
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


def roles_of(tunnel, floodway):
    """What we are in a tunnel, as a peer shows it."""
    hops = hop_names(floodway, tunnel["hops"])
    if floodway.hash not in hops:
        return set()
    place, last = hops.index(floodway.hash), len(hops) - 1
    end, role = {"inbound": (0, "gateway"), "outbound": (last, "endpoint")}[tunnel["direction"]]
    return {role if place == end else "participant"}


def test_java_lists_us_in_each_role(net, floodway):
    """In tunnels of two hops, which a destination of its asks for: there we are now first and now last."""
    java, = net.of_kind("java")
    roles, end = set(), time.time() + 300
    while len(roles) < 3:
        assert time.time() < end, f"Java's lists have us as {sorted(roles)} only"
        report = net.echo(java, net.of_kind("i2pd-mid")[0], size=1_000, length=2)
        for tunnel in report["tunnels"]["from"]:
            roles |= roles_of(tunnel, floodway)


def test_a_mebibyte_passes(net, floodway):
    """Between Java and an i2pd, through tunnels of which we are nearly the only hop."""
    java, = net.of_kind("java")
    before = floodway.metrics().total("transit_bytes_total")
    net.echo(java, net.of_kind("i2pd-mid")[0], size=MEBIBYTE, timeout=180)
    carried = floodway.metrics().total("transit_bytes_total") - before
    assert carried > MEBIBYTE, f"{carried} bytes went through us"


test_java_lists_us_in_each_role.seconds = 400
test_a_mebibyte_passes.seconds = 600
