"""Tunnels of i2pd that are forced through given hops, of which Floodway is one."""


def role_counts(floodway):
    """How many transit tunnels we count in each role."""
    metrics = floodway.metrics()
    return {role: metrics.total("transit_tunnels", role=role)
            for role in ("participant", "gateway", "endpoint")}


def begun_counts(floodway):
    """How many transit tunnels we have accepted in each role since our start: old ones end meanwhile."""
    metrics = floodway.metrics()
    return {role: metrics.total("transit_tunnels_begun_total", role=role)
            for role in ("participant", "gateway", "endpoint")}


def hop_names(floodway, hops):
    """Hops as a peer's console shows them, with ours by its whole hash."""
    # The consoles shorten hashes, and write the netdb that expands them once a minute.
    ours = (f"other:{floodway.hash[:4]}", f"{floodway.hash[:4]}...", "extra:router.info")
    found = [h.replace("rut0", floodway.hash) for h in hops]
    return [floodway.hash if h.startswith(ours) else h for h in found]


def carry(net, floodway, sender, receiver, hops, roles, size=1_000_000, **options):
    """`size` bytes both ways through tunnels of exactly these hops; we have accepted more in these roles."""
    net.expect("session", floodway.hash, timeout=60)
    before, tunnels_before = floodway.metrics(), begun_counts(floodway)
    report = net.echo(sender, receiver, size=size, length=len(hops),
                      via=[h if isinstance(h, str) else h["name"] for h in hops], **options)
    expected = [floodway.hash if h == floodway.hash else h["name"] for h in hops]
    for end, tunnels in report["tunnels"].items():
        for tunnel in tunnels:
            wanted = expected if tunnel["direction"] == "outbound" else expected[::-1]
            names = hop_names(floodway, tunnel["hops"])
            if tunnel["state"] == "established":
                assert names == wanted, f"{end}: {tunnel['direction']} tunnel {names}, not {wanted}"
    after, tunnels_after = floodway.metrics(), begun_counts(floodway)
    for role in roles:
        assert tunnels_after[role] > tunnels_before[role] or net.settings.stand_in, \
            f"tunnels as {role}: {tunnels_before[role]}, and no more after the transfer"
    carried = after.total("transit_messages_total") - before.total("transit_messages_total")
    # All goes twice over at least two of our tunnels, in messages of at most 1003 bytes.
    assert carried >= size // 500 or net.settings.stand_in, f"{carried} tunnel messages are counted"
    return report
