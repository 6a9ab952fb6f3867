"""Tunnels of i2pd 2.45.1 and 2.56.0 that are forced through Floodway, in each of its roles."""

from harness.forced import carry
from harness.network import eventually

NETWORK = ["--i2pd", 1, "--i2pd-mid", 3]


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
