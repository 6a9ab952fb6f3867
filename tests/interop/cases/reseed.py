"""A fresh i2pd begins with a su3 that `floodway reseed make` wrote, and not with one that was changed."""

import json
import shutil
import subprocess

from harness.network import eventually

NETWORK = ["--i2pd", 1, "--i2pd-mid", 2, "--floodfills", 1, "--wait", 0]
REFUSED = "SU3 verification failed"


def make(net):
    """A bundle of all routers of the network, and the certificate of who signed it."""
    bundle = net.dir / "ours.su3"
    done = subprocess.run(
        [net.settings.program, "reseed", "make", "--from", net.dir / "routerinfos", "--out", bundle,
         "--signer", "ours@example.org", "--key", net.dir / "ours.pem", "--new-key", "--network-id", "99", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, f"reseed make: {done.stdout}{done.stderr}"
    told = json.loads(done.stdout)
    assert told["routers"] == len(net.peers), told
    return bundle, told["certificate"]


def start_fresh(net, peer, bundle, certificate):
    """Starts a peer that knows nobody, and trusts this certificate alone."""
    net.command("stop", net.dir, peer["name"])
    home = net.dir / peer["name"]
    for known in ("netDb", "peerProfiles"):
        shutil.rmtree(home / known, ignore_errors=True)
    trusted = home / "certificates" / "reseed"
    trusted.mkdir(parents=True, exist_ok=True)
    shutil.copy(certificate, trusted)
    config = home / "i2pd.conf"
    lines = config.read_text().splitlines()
    begin = ("zipfile =", "file =")
    lines = [f"file = {bundle}" if line.startswith(begin) else line for line in lines]
    assert f"file = {bundle}" in lines, config
    config.write_text("\n".join(lines) + "\n")
    net.restart(peer)


def routers(net, peer):
    return next(p for p in net.status() if p["name"] == peer["name"])["routers"]


def test_a_fresh_i2pd_begins_with_our_su3(net):
    """2.45.1 and 2.56.0, each alone: nobody is there who could tell it anything."""
    bundle, certificate = make(net)
    net.command("stop", net.dir, *(p["name"] for p in net.peers))
    changed = net.dir / "changed.su3"
    content = bytearray(bundle.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    for peer in (net.of_kind("i2pd")[0], net.of_kind("i2pd-mid")[0]):
        before = net.log(peer).count(REFUSED)
        start_fresh(net, peer, changed, certificate)
        eventually(lambda peer=peer: net.log(peer).count(REFUSED) > before,
                   f"{peer['name']} ({peer['kind']}) refuses the su3 with a flipped bit", 30)
        assert routers(net, peer) <= 1, f"{peer['name']} knows {routers(net, peer)} routers"
        start_fresh(net, peer, bundle, certificate)
        eventually(lambda peer=peer: routers(net, peer) == len(net.peers),
                   lambda peer=peer: f"{peer['name']} ({peer['kind']}) knows {routers(net, peer)} of "
                                     f"{len(net.peers)} routers", 30)
        net.command("stop", net.dir, peer["name"])


test_a_fresh_i2pd_begins_with_our_su3.seconds = 300
