"""Encrypted lease sets of an i2pd's servers, kept by Floodway alone: found by all, read by those who have a key."""

import contextlib
import hashlib
import re
import subprocess
import sys
import time
from pathlib import Path

from harness.network import eventually
from testnet.routerinfo import b32, identity_length

SERVERS = Path(__file__).with_suffix(".conf")
NETWORK = ["--i2pd-mid", 3, "--floodfills", 0, "--tunnels", f"p0={SERVERS}"]

# What a client of the server of this name has to have, and what does not help him.
KEYS = {"shared": ("Zmxvb2R3YXkgdGVzdCBrZXkgb2YgYSBmcmllbmQuLiE=",
                   "Zmxvb2R3YXkgdGVzdCBrZXkgb2YgYSBzdHJhbmdlciE="),
        "own": ("KN4Wx5rg2oJOO0dzwrh~mJhEq1PllYVuwE8qYvahFH0=",
                "EESgChEtdhLHi7gdd1kSnDKZaTGKBJ82I4m~2LgWL20=")}
# Ports of the clients: of p1, who has the keys, and of p2, who has none, or others.
FRIENDS = {"shared": 7801, "own": 7802}
KEYLESS = {"shared": 7801, "own": 7802}
STRANGERS = {"shared": 7803, "own": 7804}

ENCRYPTED = {"type": "encrypted_lease_set"}
# What i2pd logs of a lease set that it cannot open, without any key and with another one.
NO_KEY = "Can't calculate authCookie"
OTHER_KEY = "Client cookie"

CLIENT = """
[{name}]
type = client
address = {address}
port = {port}
destination = {destination}
destinationport = 7700
keys = transient-{name}
inbound.length = 1
outbound.length = 1
inbound.quantity = 2
outbound.quantity = 2
"""

# Sends back what it is sent.
ECHO = """
import socket, sys, threading
def serve(s):
    with s:
        while True:
            data = s.recv(65536)
            if not data:
                return
            s.sendall(data)
listener = socket.create_server((sys.argv[1], 7700))
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""

# Says 'echoed' once 50 kB came back, and how it ended when they never did.
ASK = """
import os, socket, sys, time
address, port, patience = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
sent, told, limit = os.urandom(50_000), "not tried", time.time() + patience
while told != "echoed" and time.time() < limit:
    try:
        with socket.create_connection((address, port), timeout=10) as s:
            s.settimeout(20)
            s.sendall(sent)
            back = b""
            while len(back) < len(sent):
                data = s.recv(65536)
                if not data:
                    break
                back += data
            told = "echoed" if back == sent else f"closed after {len(back)} bytes"
    except OSError as problem:
        told = repr(problem)
    time.sleep(1)
print(told)
"""


@contextlib.contextmanager
def echo_server(net):
    """The service behind both servers."""
    peer = net.peer("p0")
    command = net.inside_command("p0", [sys.executable, "-c", ECHO, peer["ip"]])
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n", "the echo server does not start"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def ask(net, peer, port, patience):
    return net.inside(peer["name"], sys.executable, "-c", ASK, peer["ip"], port, patience,
                      timeout=patience + 60).strip()


def address(net, server):
    """The address of the server of this name that its clients are given, as its router's console shows it."""
    peer = net.peer("p0")
    identity = (net.dir / "p0" / f"{server}.dat").read_bytes()
    plain = b32(hashlib.sha256(identity[:identity_length(identity)]).digest())
    page = net.page(peer, f"/?page=local_destination&b32={plain}")
    found = re.search(r"\b([a-z2-7]{56,}\.b32\.i2p)", page)
    assert found, f"the console shows no encrypted address of {plain}:\n{page[-2000:]}"
    return found[1]


def client(net, peer, name, server, port, key=None):
    section = CLIENT.format(name=name, address=peer["ip"], port=port, destination=address(net, server))
    return section + (f"i2cp.leaseSetPrivKey = {key}\n" if key else "")


def held(router):
    return router.metrics().total("netdb_records", **ENCRYPTED)


def found(floodway):
    return floodway.metrics().total("netdb_lookups_total", result="found", **ENCRYPTED)


def prepare(net, floodway):
    """The servers have published at us, and their clients are set up; done once for all tests."""
    friend, other = net.peer("p1"), net.peer("p2")
    if (net.dir / "p1" / "tunnels.conf").read_text():
        return
    net.seed(floodway.router_info)
    eventually(lambda: held(floodway) >= 2, "we hold both encrypted lease sets", 150)
    for server, (key, another) in KEYS.items():
        with open(net.dir / "p1" / "tunnels.conf", "a") as file:
            file.write(client(net, friend, f"friend-{server}", server, FRIENDS[server], key))
        with open(net.dir / "p2" / "tunnels.conf", "a") as file:
            file.write(client(net, other, f"keyless-{server}", server, KEYLESS[server]))
            file.write(client(net, other, f"stranger-{server}", server, STRANGERS[server], another))
    net.restart(friend, other)
    net.expect("session", floodway.hash, [friend, other], timeout=90)


def test_clients_with_a_key_reach_the_servers(net, floodway):
    prepare(net, floodway)
    peer = net.peer("p1")
    with echo_server(net):
        for server, port in FRIENDS.items():
            before = found(floodway)
            told = ask(net, peer, port, patience=90)
            assert told == "echoed", f"{server}: {told}"
            assert found(floodway) > before, f"{server}: its lease set was not found at us"


test_clients_with_a_key_reach_the_servers.seconds = 600


def test_clients_without_the_key_find_what_they_cannot_read(net, floodway):
    """Their router gets the lease sets from us all the same, and says that they do not open."""
    prepare(net, floodway)
    peer = net.peer("p2")
    with echo_server(net):
        for ports, line in ((KEYLESS, NO_KEY), (STRANGERS, OTHER_KEY)):
            for server, port in ports.items():
                logged, before = net.log(peer).count(line), found(floodway)
                # The first attempts may come before the client has tunnels.
                limit = time.time() + 90
                while net.log(peer).count(line) == logged and time.time() < limit:
                    told = ask(net, peer, port, patience=5)
                    assert told != "echoed", f"{server} is reached without its key"
                assert net.log(peer).count(line) > logged, f"{server}: no '{line}' in {peer['name']}'s log"
                assert found(floodway) > before, f"{server}: its lease set was not found at us"


test_clients_without_the_key_find_what_they_cannot_read.seconds = 600


def test_another_floodfill_gets_them_from_us(net, floodway):
    """A second Floodway joins, knowing only the first; the servers publish anew."""
    prepare(net, floodway)
    second = net.floodway("rut1", reseed=[floodway.router_info])
    before = floodway.metrics().total("netdb_floods_total")
    net.restart(net.peer("p0"))
    # p0 may come to know of the second one and publish there: then that one floods, and this one stores.
    eventually(lambda: held(second) >= 2, "the second floodfill holds both lease sets too", 150)
    flooded = floodway.metrics().total("netdb_floods_total") - before \
        + second.metrics().total("netdb_floods_total")
    assert flooded >= 2, f"{flooded} copies were flooded"


test_another_floodfill_gets_them_from_us.seconds = 450
