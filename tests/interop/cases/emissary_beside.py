"""Floodway and an i2pd are the floodfills of a network with emissary: each holds what the other was told."""

NETWORK = ["--i2pd-mid", 3, "--emissary", 1, "--floodfills", "p0"]


def test_what_one_floodfill_is_told_the_other_holds(net, floodway):
    other, *_ = net.of_kind("i2pd-mid")
    net.seed(floodway.router_info)
    net.expect("session", floodway.hash, [other], timeout=90)
    for kind in ("router-info", "lease-set2"):
        net.passed_on(kind, floodway, other)
        net.passed_on(kind, other, floodway)
