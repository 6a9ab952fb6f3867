"""Sessions with i2pd 2.45.1 and 2.56.0, opened by either side, as the peers' own consoles list them."""

from harness.network import eventually

# no floodfill but us, so that each peer has a reason to come to us
NETWORK = ["--i2pd", 1, "--i2pd-mid", 2, "--floodfills", 0]
FLOODWAY = {"reseed": "none"}


def sessions_with(net, peer, router):
    return [s for s in net.view(peer)["sessions"] if s["hash"] == router.hash]


def wait_for_sessions(net, router, opened_by_peer):
    """Every peer's console lists an NTCP2 session that was opened from the wanted side."""
    for peer in net.peers:
        def listed(peer=peer):
            return [s for s in sessions_with(net, peer, router)
                    if s["transport"] == "NTCP2" and s["out"] == opened_by_peer]
        who = "it opened" if opened_by_peer else "we opened"
        eventually(listed, f"{peer['name']} ({peer['kind']}) lists a session that {who}", 60)


def test_peers_open_sessions(net, floodway):
    """We know nobody; the peers know us and have to publish somewhere."""
    net.seed(floodway.router_info)
    wait_for_sessions(net, floodway, opened_by_peer=True)
    inbound = floodway.metrics().total("sessions", transport="ntcp2", direction="inbound")
    assert inbound >= 3, f"{inbound} inbound sessions are counted"


def test_we_open_sessions(net):
    """A new router that nobody knows; its seeds are the peers."""
    new = net.floodway("rut1", reseed="peers", floodfill=False)
    wait_for_sessions(net, new, opened_by_peer=False)
    outbound = new.metrics().total("sessions", transport="ntcp2", direction="outbound")
    assert outbound >= 3, f"{outbound} outbound sessions are counted"


def test_we_come_back_with_our_identity(net, floodway):
    """The restart checks that the hash is the same; the peers take the old router back."""
    floodway.restart(reseed="peers")
    net.expect("ntcp2", floodway.hash, timeout=60)
