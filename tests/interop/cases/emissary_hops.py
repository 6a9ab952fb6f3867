"""Emissary's tunnels run through Floodway in each role: in its network there is nobody else."""

import time

from harness.forced import begun_counts

NETWORK = ["--emissary", 1, "--floodfills", 0, "--emissary-insecure", "--expl-length", 1, "--wait", 0]
MEBIBYTE = 1 << 20


def test_emissary_has_us_in_each_role(net):
    """Two of us, since a tunnel of emissary's goes through a router once. Nobody else builds any."""
    first = net.floodway("rut0", reseed="none")
    second = net.floodway("rut1", reseed=[first.router_info])
    emissary, = net.of_kind("emissary")
    for router in (first, second):
        net.seed(router.router_info, restart=False)
    net.restart(emissary)
    end = time.time() + 300
    missing = {"participant", "gateway", "endpoint"}
    while missing:
        assert time.time() < end, f"we are never {sorted(missing)}"
        net.echo(emissary, emissary, size=1_000, length=2)
        counts = [begun_counts(router) for router in (first, second)]
        print(f"{counts}", flush=True)
        missing = {role for role in missing if not any(count[role] for count in counts)}


def test_a_mebibyte_passes(net):
    """There and back between two destinations of emissary's, whose tunnels have two of us each."""
    emissary, = net.of_kind("emissary")
    before = [router.metrics().total("transit_bytes_total") for router in net.routers]
    report = net.echo(emissary, emissary, size=MEBIBYTE, length=2)
    after = [router.metrics().total("transit_bytes_total") for router in net.routers]
    carried = [now - then for now, then in zip(after, before)]
    early = sum(router.metrics().total("drops_total", reason="transit_early") for router in net.routers)
    print(f"{carried} bytes in {report['seconds']['transfer']} s, {early} messages dropped early")
    assert min(carried) > 2 * MEBIBYTE, f"{carried} bytes went through us"


test_emissary_has_us_in_each_role.seconds = 500
test_a_mebibyte_passes.seconds = 400
