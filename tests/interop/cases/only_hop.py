"""Floodway is the only router that carries tunnels of others, through two generations of tunnels of five i2pd."""

import time

from harness.forced import role_counts

NETWORK = ["--i2pd", 2, "--i2pd-mid", 3, "--notransit", "--expl-length", 1]
# Two generations of tunnels, which live for ten minutes, and some.
MINUTES = 25


def test_two_generations(net, floodway):
    net.seed(floodway.router_info)
    net.expect("session", floodway.hash, timeout=60)
    mid = net.of_kind("i2pd-mid")
    end = time.time() + 60 * MINUTES
    done, failed = 0, []
    while time.time() < end:
        began = time.time()
        sender, receiver = mid[done % 3], mid[(done + 1) % 3]
        done += 1
        try:
            net.echo(sender, receiver, size=100_000, length=1, timeout=60)
        except AssertionError as problem:
            failed.append(str(problem))
        time.sleep(max(0, began + 30 - time.time()))
    roles = role_counts(floodway)
    story = f"{done - len(failed)} of {done} transfers in {MINUTES} minutes, our tunnels {roles}"
    print(story)
    # The peers' own tests of tunnels, and those that they build ahead of time, fail now and then.
    assert len(failed) * 20 <= done, "\n".join([story, *failed[:3]])
    assert roles["gateway"] > 0 and roles["endpoint"] > 0, story
    for status in net.status():
        assert sum(status["tunnels_established"].values()) > 0, f"{status['name']} has no tunnel: {story}"


test_two_generations.seconds = 60 * MINUTES + 600
test_two_generations.long = True
