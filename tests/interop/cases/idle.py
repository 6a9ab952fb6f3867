"""Sessions that nobody uses any more: whoever ends them says so, and nobody holds it against the other."""

import subprocess
import time

from harness.network import eventually

NETWORK = ["--i2pd", 2, "--i2pd-mid", 2, "--i2pd-new", 1, "--java", 1, "--floodfills", "p0,p2"]
# Nobody has to tell it anything, and once it drains nobody builds through it.
FLOODWAY = {"floodfill": False}
# Tunnels live for eleven minutes, and then an idle session for two.
PATIENCE = 60 * 10


def ended(floodway, **labels):
    return int(floodway.metrics().total("sessions_ended_total", **labels))


def test_unused_sessions_end_with_a_goodbye(net, floodway):
    net.seed(floodway.router_info)
    net.expect("session", floodway.hash, timeout=90)
    subprocess.run([net.settings.program, "drain", "--data-dir", floodway.dir], check=True)
    begun = time.time()
    while time.time() < begun + PATIENCE:
        m = floodway.metrics()
        print(int(time.time() - begun), m.show("sessions", "sessions_ended_total", "transit_tunnels", "drops_total"), flush=True)
        time.sleep(20)


test_unused_sessions_end_with_a_goodbye.seconds = PATIENCE + 300
test_unused_sessions_end_with_a_goodbye.long = True
