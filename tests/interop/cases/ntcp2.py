"""Sessions that live: under lookups, over restarts of either side, and with nobody banned."""

import json
import subprocess
import time

from harness.network import eventually

# no floodfill but us: each peer has a reason to stay with us
NETWORK = ["--i2pd", 1, "--i2pd-mid", 1, "--java", 1, "--floodfills", 0, "--wait", 0]
FLOODWAY = {"reseed": "peers"}


def console_lists(net, peer, router):
    return [s for s in net.view(peer)["sessions"]
            if s["hash"] == router.hash and s["transport"] == "NTCP2"]


def lookups(floodway):
    return floodway.metrics().total("netdb_lookups_total", kind="lease_set")


def ask_until_heard(net, peer, floodway):
    asked = lookups(floodway)
    for _ in range(3):
        net.ask_for_nobody(peer)
        if lookups(floodway) > asked:
            return
    raise AssertionError(f"no lookup of {peer['name']} ({peer['kind']}) arrives")


def status(net, router):
    """What `floodway status` says of a running router."""
    done = subprocess.run([net.settings.program, "status", "--json", "--data-dir", router.dir],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, f"floodway status: {done.stdout}{done.stderr}"
    return json.loads(done.stdout)


def met(net, floodway, timeout=90):
    """Every peer's console lists a session with us."""
    for peer in net.peers:
        eventually(lambda peer=peer: console_lists(net, peer, floodway),
                   f"{peer['name']} ({peer['kind']}) lists a session with us", timeout)


def test_sessions_live(net, floodway):
    """Two minutes, or ten where time is given, of a lookup every 30 s: the same sessions throughout."""
    net.seed(floodway.router_info, restart=False)
    net.restart(*net.peers)
    met(net, floodway)
    old = [p for p in net.peers if p["kind"].startswith("i2pd")]
    before = floodway.metrics()
    end = time.time() + (600 if net.settings.long else 120)
    while time.time() < end:
        began = time.time()
        for peer in old:
            ask_until_heard(net, peer, floodway)
        time.sleep(max(0, began + 30 - time.time()))
    met(net, floodway, timeout=5)
    after = floodway.metrics()
    for name, labels in [("drops_total", {"reason": "session_broken"}), ("handshakes_total", {})]:
        grown = after.total(name, **labels) - before.total(name, **labels)
        # Java leaves and comes back as it likes, and may be met from both sides at once.
        assert grown <= (0 if labels else 2), f"{name}{labels} has grown by {grown}"


test_sessions_live.seconds = 1200


def test_status_and_metrics_agree_with_the_peers(net, floodway):
    """As many sessions as the peers list, counted twice by ourselves."""
    def agrees():
        listed = sum(len(console_lists(net, peer, floodway)) for peer in net.peers)
        counted = floodway.metrics().total("sessions", transport="ntcp2")
        told = sum(status(net, floodway)["sessions"].values())
        return listed == counted == told
    eventually(agrees, "peers, metrics and status tell the same number of sessions", 60)


def test_sessions_come_back_when_peers_restart(net, floodway):
    net.restart(*net.peers)
    met(net, floodway)


def test_sessions_come_back_when_we_restart(net, floodway):
    floodway.restart()
    met(net, floodway)


def test_a_wrong_host_is_banned_and_we_are_not(net, floodway):
    """i2pd 2.56.0 logs whom it refuses for a host that he does not come from."""
    peer, = net.of_kind("i2pd-mid")
    flawed, _ = net.neighbour(peer, "introduce", "another-host").split()
    line = eventually(lambda: [x for x in net.log(peer).splitlines() if "Host mismatch" in x],
                      f"{peer['name']} logs a host mismatch of {flawed}", 30)
    assert not any(floodway.ip in x for x in line), f"we are taken for wrong: {line}"
    assert console_lists(net, peer, floodway), "the session with us has ended"


def test_a_short_iv_is_banned_and_we_are_not(net, floodway):
    """Java's profiles say whom it has banned, and why."""
    peer, = net.of_kind("java")

    def profiles():
        return json.loads(net.page(peer, "/profiles"))
    flawed, _ = net.neighbour(peer, "introduce", "short-iv").split()
    eventually(lambda: profiles().get(flawed, {}).get("banned"), f"java bans {flawed}", 60)
    ours = profiles().get(floodway.hash, {})
    assert ours and not ours.get("banned"), f"java's profile of us: {ours}"


def test_the_oldest_still_answers(net, floodway):
    """i2pd 2.45.1 has no list of the banned: its session has to work to the end."""
    peer, = net.of_kind("i2pd")
    assert console_lists(net, peer, floodway), "no session with us"
    ask_until_heard(net, peer, floodway)
