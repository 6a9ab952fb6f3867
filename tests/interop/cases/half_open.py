"""A flood of connections that never say anything, from one subnet, beside sessions of real routers."""

import sys
import threading

# No floodfill but us: the peers have to ask us.
NETWORK = ["--i2pd", 1, "--i2pd-mid", 2, "--floodfills", 0]
CONNECTIONS = 10_000
FLOOD = """
import resource, socket, sys, time
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
held = []
for number in range(count):
    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex((host, port))
    held.append(connection)
    if number % 100 == 99:
        time.sleep(0.05)
time.sleep(10)
print(len(held))
"""


def test_sessions_of_real_routers_go_on(net, floodway):
    """All of them, through the flood and after it; what they ask is answered meanwhile."""
    net.seed(floodway.router_info)
    net.expect("ntcp2", floodway.hash, timeout=90)
    before = floodway.metrics()
    flood = threading.Thread(target=net.inside, args=(
        "rut1", sys.executable, "-c", FLOOD, floodway.ip, floodway.port, CONNECTIONS), kwargs={"timeout": 120})
    flood.start()
    asked = 0
    while flood.is_alive():
        net.ask_for_nobody(net.of_kind("i2pd-mid")[asked % 2])
        asked += 1
    after = floodway.metrics()

    def grown(name, **labels):
        return after.total(name, **labels) - before.total(name, **labels)
    dropped = after.drops()
    print(f"{asked} questions, {grown('netdb_lookups_total', kind='lease_set')} lookups came; dropped {dropped}")
    # A new destination may look for nobody, since it has no tunnels yet.
    assert grown("netdb_lookups_total", kind="lease_set") > 0, "no lookup came"
    assert grown("sessions_ended_total") == 0, after.of("sessions_ended_total")
    turned_away = sum(count for reason, count in dropped.items() if reason.startswith("handshake"))
    assert turned_away >= 0.9 * CONNECTIONS, f"{turned_away} of {CONNECTIONS} connections were turned away: {dropped}"
    net.expect("ntcp2", floodway.hash, timeout=5)


test_sessions_of_real_routers_go_on.seconds = 400
