"""Sessions with emissary, opened by either side, as its debug log and its counters tell."""

import json
import re
import time

from harness.network import eventually

NETWORK = ["--i2pd-mid", 2, "--emissary", 1, "--emissary-log",
           "emissary::ntcp2=debug,emissary::transport-manager=debug"]


def sessions(net, router, role):
    """Lines of emissary's log: a session with the router, in which emissary had this role."""
    log = net.log(net.of_kind("emissary")[0])
    return re.findall(rf"ntcp2 connection opened role={role} router={re.escape(router.hash[:8])}", log)


def opened(net):
    """How many NTCP2 sessions emissary counts as opened since its start."""
    status = json.loads(net.command("status", net.dir, "--detail").stdout)["peers"]
    emissary = next(s for s in status if s["kind"] == "emissary")
    return emissary["metrics"].get("ntcp2_connections_opened_count", 0)


def test_we_open_a_session(net):
    """A new router that nobody knows; its seeds are the peers."""
    before = opened(net)
    new = net.floodway("rut1", reseed="peers", floodfill=False)
    eventually(lambda: sessions(net, new, "Responder"), "emissary's log has our session", 60)
    eventually(lambda: opened(net) > before, "emissary counts one more session", 30)
    net.expect("ntcp2", new.hash, net.of_kind("i2pd-mid"), timeout=60)


def test_emissary_opens_a_session(net):
    """We know nobody; emissary knows us as a floodfill and has to publish somewhere."""
    floodway = net.floodway("rut0", reseed="none")
    net.seed(floodway.router_info)
    eventually(lambda: sessions(net, floodway, "Initiator"), "emissary's log has its session", 90)
    eventually(lambda: opened(net) >= 1, "emissary counts its session", 30)
    inbound = floodway.metrics().total("sessions", direction="inbound")
    assert inbound >= 1, f"{inbound} inbound sessions are counted"


def test_a_session_lives(net):
    """Two minutes, or ten where time is given: emissary opens no second session, and none of ours ends."""
    floodway = net.routers[-1]
    assert sessions(net, floodway, "Initiator"), "emissary has opened none"

    def opened():
        return len(sessions(net, floodway, "(?:Initiator|Responder)"))
    before, rounds = opened(), 0
    end = time.time() + (600 if net.settings.long else 120)
    while time.time() < end:
        began = time.time()
        # A neighbour's session is no longer than its errand.
        net.neighbour(floodway, "store", "router-info")
        rounds += 1
        time.sleep(max(0, began + 30 - time.time()))
    ends = floodway.metrics().of("sessions_ended_total")
    assert opened() == before, f"{opened() - before} more sessions with emissary; ended: {ends}"
    assert sum(count for _, count in ends) == rounds, f"{rounds} neighbours came; ended: {ends}"


test_a_session_lives.seconds = 900
