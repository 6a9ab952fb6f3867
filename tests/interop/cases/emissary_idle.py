"""A session with emissary that nobody uses any more ends with a goodbye, as emissary's debug log tells."""

import re

from harness.network import eventually

NETWORK = ["--i2pd-mid", 2, "--emissary", 1, "--emissary-log", "emissary::ntcp2=debug"]
# Nobody has to tell it anything, and nobody builds through it.
FLOODWAY = {"floodfill": False, "flags": ["--transit-share", "0"]}
# What emissary writes for the reason of an idle session.
IDLE_TIMEOUT = 2


def lines(net, floodway, text):
    """Lines of emissary's log with this text and a router that begins like ours."""
    log = net.log(net.of_kind("emissary")[0])
    return re.findall(rf"{text}.*router(?:_id)?={re.escape(floodway.hash[:8])}.*", log)


def test_an_unused_session_ends_with_a_goodbye(net, floodway):
    eventually(lambda: lines(net, floodway, "ntcp2 connection opened"), "emissary's log has our session", 60)
    ended = eventually(lambda: lines(net, floodway, "session terminated by remote router"),
                       "emissary's log has the end of our session", 300)
    print(ended[0])
    assert ended[0].endswith(f"reason={IDLE_TIMEOUT}"), ended
    ends = floodway.metrics().of("sessions_ended_total")
    assert ends and all(labels["reason"] == "idle_timeout" for labels, count in ends if count), ends


test_an_unused_session_ends_with_a_goodbye.seconds = 400
test_an_unused_session_ends_with_a_goodbye.long = True
