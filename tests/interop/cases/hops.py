"""Tunnels of i2pd 2.45.1 and 2.56.0 that are forced through Floodway, in each of its roles."""

from harness.network import eventually

NETWORK = ["--i2pd", 1, "--i2pd-mid", 3]


def carry(net, floodway, sender, receiver, hops, roles):
    """1 MB both ways through tunnels of exactly these hops; we count tunnels in these roles."""
    net.expect("session", floodway.hash, timeout=60)
    before = floodway.metrics()
    report = net.echo(sender, receiver, length=len(hops),
                      via=[h if isinstance(h, str) else h["name"] for h in hops])
    expected = [floodway.hash if h == floodway.hash else h["name"] for h in hops]
    for end, tunnels in report["tunnels"].items():
        for tunnel in tunnels:
            found = [h.replace("rut0", floodway.hash) for h in tunnel["hops"]]
            wanted = expected if tunnel["direction"] == "outbound" else expected[::-1]
            # The peers' consoles shorten hashes, and write the netdb that expands them once a minute.
            ours = (f"other:{floodway.hash[:4]}", f"{floodway.hash[:4]}...", "extra:router.info")
            names = [floodway.hash if h.startswith(ours) else h for h in found]
            if tunnel["state"] == "established":
                assert names == wanted, f"{end}: {tunnel['direction']} tunnel {found}, not {wanted}"
    after = floodway.metrics()
    for role in roles:
        assert after.total("transit_tunnels", role=role) > 0, f"no tunnels as {role} are counted"
    carried = after.total("transit_messages_total") - before.total("transit_messages_total")
    # 1 MB goes twice over at least two of our tunnels, in messages of at most 1003 bytes
    assert carried >= 2_000 or net.settings.stand_in, f"{carried} tunnel messages are counted"


def test_the_only_hop(net, floodway):
    a, b, _ = net.of_kind("i2pd-mid")
    carry(net, floodway, a, b, [floodway.hash], ["gateway", "endpoint"])


def test_the_only_hop_for_2_45(net, floodway):
    carry(net, floodway, net.of_kind("i2pd")[0], net.of_kind("i2pd-mid")[0],
          [floodway.hash], ["gateway", "endpoint"])


test_the_only_hop_for_2_45.seconds = 450


def test_first_of_two(net, floodway):
    a, b, c = net.of_kind("i2pd-mid")
    carry(net, floodway, a, b, [floodway.hash, c], ["participant"])


def test_last_of_two(net, floodway):
    a, b, c = net.of_kind("i2pd-mid")
    carry(net, floodway, a, b, [c, floodway.hash], ["gateway", "endpoint"])


def test_peers_use_us_of_their_own_accord(net, floodway):
    """Restarted peers build new exploratory tunnels; in a network this small we are in some."""
    net.seed(floodway.router_info)
    net.expect("hop", floodway.hash, count=1, timeout=120)


def test_messages_cross_between_shards(net, floodway):
    """The placement secret puts every second peer on another shard."""
    a, b, c = net.of_kind("i2pd-mid")
    carry(net, floodway, a, b, [floodway.hash, c], ["participant"])
    metrics = floodway.metrics()
    for shard in map(str, range(net.settings.shards)):
        assert metrics.total("sessions", shard=shard) > 0, f"no session on shard {shard}"
        assert metrics.total("transit_tunnels", shard=shard) > 0, f"no tunnel on shard {shard}"
    for sender, receiver in (("0", "1"), ("1", "0")):
        eventually(lambda s=sender, r=receiver: floodway.metrics().total(
            "shard_messages_total", **{"from": s, "to": r}) > 0,
            f"messages from shard {sender} to {receiver}", 10)


test_messages_cross_between_shards.shards = 2
