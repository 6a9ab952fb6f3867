"""Floodway is a hop of tunnels of i2pd 2.45.1 and 2.56.0 at every position of lengths 1 to 3."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

from harness.forced import carry, role_counts
from harness.network import eventually

NETWORK = ["--i2pd", 2, "--i2pd-mid", 4, "--loglevel", "debug"]

MEBIBYTE = 1 << 20
# What a hop is at its place in an outbound tunnel's list of explicit peers, and in the inbound tunnel of the same list,
# which runs the other way: the list counts from the creator.
PARTICIPANT, ENDS = ["participant"], ["gateway", "endpoint"]


def positions(us, others):
    """Lists of hops with us at every place, and the roles in which we then are."""
    for length in range(1, len(others) + 2):
        for place in range(length):
            hops = others[:length - 1]
            hops.insert(place, us)
            yield hops, ENDS if place == length - 1 else PARTICIPANT


def lost_builds(log):
    """Tunnels of a log of i2pd that did not come about."""
    return sum(log.count(end) for end in ("timeout, deleted", "failed, deleted", "has been declined"))


def test_as_many_tunnels_as_peers_show(net, floodway):
    """In each role; what has failed at another hop, or in a peer's own test, is with us for its whole time."""
    net.seed(floodway.router_info)
    net.expect("session", floodway.hash, timeout=60)

    def counts():
        shown = {"participant": 0, "gateway": 0, "endpoint": 0}
        for peer in net.peers:
            for tunnel in net.view(peer)["tunnels"]:
                # The consoles shorten hashes.
                hops = [(h["hash"] or "")[:4] for h in tunnel["hops"]]
                if floodway.hash[:4] not in hops or tunnel["state"] not in ("established", "expiring"):
                    continue
                place = hops.index(floodway.hash[:4])
                ends = {"inbound": (0, "gateway"), "outbound": (len(hops) - 1, "endpoint")}
                end, role = ends[tunnel["direction"]]
                shown[role if place == end else "participant"] += 1
        logs = [net.log(peer) for peer in net.peers]
        gone = sum(lost_builds(log) + len(re.findall("Test of .* failed", log)) for log in logs)
        return shown, {role: int(count) for role, count in role_counts(floodway).items()}, gone

    seen = []

    def match():
        seen.append(counts())
        shown, ours, gone = seen[-1]
        return all(0 < shown[role] <= ours[role] for role in shown) and \
            sum(ours.values()) <= sum(shown.values()) + gone

    def story():
        shown, ours, gone = seen[-1]
        return f"peers show {shown} and have lost {gone} of all their tunnels, we count {ours}"

    eventually(match, story, 90, 3)
    print(story())


def test_every_position_for_2_56(net, floodway):
    a, b, c, d = net.of_kind("i2pd-mid")
    for hops, roles in positions(floodway.hash, [c, d]):
        carry(net, floodway, a, b, hops, roles, size=MEBIBYTE)


def test_every_position_for_2_45(net, floodway):
    a, b = net.of_kind("i2pd")
    for hops, roles in positions(floodway.hash, net.of_kind("i2pd-mid")[2:]):
        carry(net, floodway, a, b, hops, roles, size=MEBIBYTE)


def test_64_mebibytes_through_three_hops(net, floodway):
    a, b, c, _ = net.of_kind("i2pd-mid")
    hops = [c, floodway.hash, net.of_kind("i2pd")[0]]
    carry(net, floodway, a, b, hops, PARTICIPANT, size=64 * MEBIBYTE, timeout=900)


def builds(net, peers):
    """Tunnels that these peers have begun to build by their logs, and those that did not come about."""
    logs = [net.log(peer) for peer in peers]
    return sum(log.count("Creating destination") for log in logs), sum(map(lost_builds, logs))


def test_of_200_builds_nearly_all_succeed(net, floodway):
    """Each pair of destinations builds four tunnels; what the peers build of their own accord is counted, too.

    2.45.1 is never last in a list: there it is the endpoint of one tunnel and the gateway of the tunnel through which the
    reply goes, and then it keeps the reply until something else goes through that gateway.
    """
    mid, old = net.of_kind("i2pd-mid"), net.of_kind("i2pd")
    pairs = [(mid[0], mid[1]), (mid[1], mid[0]), (mid[2], mid[3]), (mid[3], mid[2])]
    begun_before, lost_before = builds(net, mid)

    def destinations(number):
        pair = pairs[number % 4]
        others = [peer for peer in mid if peer not in pair]
        us = floodway.hash
        lists = [[us, others[0]], [old[0], us], [us, others[1]], [old[1], us]]
        hops = [h if isinstance(h, str) else h["name"] for h in lists[number // 4 % 4]]
        try:
            net.echo(*pair, size=2_000, length=2, via=hops, timeout=60)
        except AssertionError as problem:
            return str(problem)
        return None

    failed, number = [], 0
    with ThreadPoolExecutor(4) as pool:
        while builds(net, mid)[0] - begun_before < 200 and number < 100:
            failed += [f for f in pool.map(destinations, range(number, number + 4)) if f]
            number += 4
    # A build that is not answered is given up after half a minute.
    time.sleep(35)
    begun, lost = (after - before for after, before in zip(builds(net, mid), (begun_before, lost_before)))
    dropped = floodway.metrics().drops()
    story = f"{begun - lost} of {begun} builds came about, {len(failed)} of {number} transfers failed, we dropped {dropped}"
    print(story)
    assert begun >= 200, story
    assert lost <= 0.05 * begun, story
    assert len(failed) <= 0.05 * number, "\n".join([story, *failed[:2]])


test_every_position_for_2_45.seconds = 1500
test_every_position_for_2_56.seconds = 600
test_64_mebibytes_through_three_hops.seconds = 1900
test_of_200_builds_nearly_all_succeed.seconds = 900
for slow in (test_every_position_for_2_45, test_64_mebibytes_through_three_hops,
             test_of_200_builds_nearly_all_succeed):
    slow.long = True
