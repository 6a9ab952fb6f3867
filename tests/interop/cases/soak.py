"""Half an hour among twenty routers of all kinds: no frame that does not open, no session that ends without a reason."""

import itertools
import time

# two floodfills, of which emissary wants both, so that stores and lookups come from all
NETWORK = ["--i2pd", 6, "--i2pd-mid", 9, "--i2pd-new", 2, "--java", 1, "--emissary", 2,
           "--floodfills", "p6"]
MINUTES = 30
# Why a session may end in a network where nobody stops: it was idle, or the other of two.
EXPECTED = {"idle_timeout", "normal", "termination_received"}


def ends(floodway):
    """How many of our sessions ended, by who ended them and why."""
    counted = {}
    for labels, value in floodway.metrics().of("sessions_ended_total"):
        key = labels["by"], labels["reason"]
        counted[key] = counted.get(key, 0) + int(value)
    return counted


def tried(action, *arguments, **options):
    """Whether it worked: among twenty that start together, tunnels of others fail now and then."""
    try:
        action(*arguments, **options)
    except AssertionError:
        return False
    return True


def test_half_an_hour_among_twenty(net, floodway):
    net.seed(floodway.router_info)
    net.expect("session", floodway.hash, count=12, timeout=180)
    # Those of before the peers' restart.
    lost = ends(floodway)
    end = time.time() + 60 * MINUTES
    askers = itertools.cycle(net.of_kind("i2pd") + net.of_kind("i2pd-mid"))
    streams = itertools.cycle(itertools.permutations(net.of_kind("i2pd-mid")[1:4], 2))
    rounds = carried = 0
    while time.time() < end:
        began = time.time()
        for kind in ("router-info", "lease-set2"):
            net.neighbour(floodway, "store", kind)
        for _ in range(2):
            net.ask_for_nobody(next(askers))
        rounds += 1
        carried += tried(net.echo, *next(streams), size=20_000, timeout=60)
        time.sleep(max(0, began + 20 - time.time()))
    found = {why: count - lost.get(why, 0) for why, count in ends(floodway).items()
             if count > lost.get(why, 0)}
    story = f"{rounds} rounds of stores and lookups, {carried} streams, sessions ended: {found}"
    assert all(reason in EXPECTED for _, reason in found), story
    assert floodway.metrics().total("drops_total", reason="session_broken") == 0, story
    assert carried >= rounds / 2, story


test_half_an_hour_among_twenty.seconds = 60 * MINUTES + 900
test_half_an_hour_among_twenty.long = True
