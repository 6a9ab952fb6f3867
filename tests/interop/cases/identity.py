"""Floodway with an identity that another router had: its peers meet the router that they know."""

from pathlib import Path

from harness.network import eventually

NETWORK = ["--i2pd-mid", 3, "--floodfills", "p0,p1"]
PEERS = Path(__file__).resolve().parent.parent.parent / "vectors" / "peers"


def hash_in(router_info):
    from testnet.routerinfo import router_info_file
    return router_info_file(router_info)["hash"]


def sessions_with(net, peer, router_hash):
    return [s for s in net.view(peer)["sessions"]
            if s["hash"] == router_hash and s["transport"] == "NTCP2"]


def met_as(net, peers, router_hash, **options):
    """Each of the peers lists a session with a Floodway under this hash."""
    router = net.floodway(reseed=peers, **options)
    assert router.hash == router_hash, f"{router_hash} became {router.hash}"
    net.expect("ntcp2", router_hash, peers=peers, timeout=60)
    router.stop()


def test_an_i2pd_is_replaced_in_its_place(net):
    """The same address, the same port and the same keys: what others keep of it stays true."""
    *others, replaced = net.peers
    old = hash_in(net.dir / replaced["name"] / "router.info")
    assert old == replaced["hash"]
    net.command("stop", net.dir, replaced["name"])
    for peer in others:
        eventually(lambda peer=peer: not sessions_with(net, peer, old),
                   f"{peer['name']} sees that {replaced['name']} has gone", 30)
    met_as(net, others, old, slot=replaced["name"], port=replaced["port"],
           identity=("i2pd", net.dir / replaced["name"]))


def test_a_java_router_moves_in(net):
    """Java I2P 2.7.0 wrote these files in a network like this one; nobody knows it here."""
    source = PEERS / "java-2.7.0"
    met_as(net, net.peers[:2], hash_in(source / "router.info"), slot="rut0",
           identity=("java", source))


def test_an_emissary_moves_in(net):
    """emissary 0.4.0 did, whose identity has no two equal blocks of padding."""
    source = PEERS / "emissary-0.4.0"
    met_as(net, net.peers[:2], hash_in(source / "router.info"), slot="rut1",
           identity=("emissary", source))
