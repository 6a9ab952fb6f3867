"""Sessions that nobody uses any more: whoever ends them says so, and nobody holds it against the other."""

import time

from harness.network import eventually

NETWORK = ["--i2pd", 1, "--i2pd-mid", 2, "--i2pd-new", 1, "--java", 1, "--floodfills", "p1,p2"]
# Nobody has to tell it anything, and nobody builds through it.
FLOODWAY = {"floodfill": False, "flags": ["--transit-share", "0"]}
# Two minutes of silence, and before that what a router that has just started asks and tells.
PATIENCE = 420


def listed(net, peer, floodway):
    return any(s["hash"] == floodway.hash and s["transport"] == "NTCP2" for s in net.view(peer)["sessions"])


def endings(floodway):
    """Sessions that ended with a Termination of either side because they were idle, and those that ended otherwise."""
    ended = floodway.metrics().of("sessions_ended_total")
    idle = sum(count for labels, count in ended if labels["reason"] == "idle_timeout")
    return idle, sum(count for _, count in ended) - idle


def meet(net, floodway):
    """A router that starts dials those that it knows."""
    for peer in net.peers:
        eventually(lambda peer=peer: listed(net, peer, floodway),
                   f"{peer['name']} ({peer['kind']}) lists a session with us", 60)


def test_unused_sessions_end_with_a_goodbye(net, floodway):
    """At every peer the session that its console lists goes, and each end that we count is one of an idle session."""
    meet(net, floodway)
    idle, otherwise = endings(floodway)
    waiting = {peer["name"]: peer for peer in net.peers}
    end = time.time() + PATIENCE
    while waiting and time.time() < end:
        time.sleep(2)
        for name, peer in list(waiting.items()):
            if not listed(net, peer, floodway):
                print(f"{name} ({peer['kind']}): gone", flush=True)
                del waiting[name]
    now_idle, now_otherwise = endings(floodway)
    print(f"{now_idle - idle} sessions ended idle, {now_otherwise - otherwise} otherwise")
    # The newest i2pd moves under the tests and is only reported.
    assert not [p for p in waiting.values() if p["kind"] != "i2pd-new"], f"still listed by {sorted(waiting)}"
    assert now_idle - idle >= len(net.peers) - len(waiting), floodway.metrics().of("sessions_ended_total")
    assert now_otherwise == otherwise, floodway.metrics().of("sessions_ended_total")
    broken = floodway.metrics().total("drops_total", reason="session_broken")
    assert broken == 0, f"{broken} frames did not open"


def test_they_meet_again(net, floodway):
    """Nobody is banned, by either side."""
    floodway.restart()
    meet(net, floodway)


test_unused_sessions_end_with_a_goodbye.seconds = PATIENCE + 300
for slow in (test_unused_sessions_end_with_a_goodbye, test_they_meet_again):
    slow.long = True
