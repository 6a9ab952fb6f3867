"""Configuration files of the peers, and the commands that start them."""

import os
from pathlib import Path

from .common import CONTROL_PASSWORD, HOME
from .install import i2pd_command, java_jars
from .processes import Spaces, alive, spawn


def yes(b):
    return "true" if b else "false"


def i2pd_conf(net, p):
    o = net["options"]
    return f"""\
# made by testnet
netid = {net['netid']}
log = file
logfile = {p['dir']}/router.log
loglevel = {o['loglevel']}
daemon = false
ipv4 = true
ipv6 = false
address4 = {p['ip']}
host = {p['ip']}
port = {p['port']}
nat = false
reservedrange = {yes(net['mode'] == 'netns')}
bandwidth = {o['bandwidth']}
share = 100
floodfill = {yes(p['floodfill'])}
notransit = {yes(o.get('notransit', False))}

[ntcp2]
enabled = {yes(o['ntcp2'])}
published = {yes(o['ntcp2'])}
port = {p['port']}

[ssu2]
enabled = {yes(o['ssu2'])}
published = {yes(o['ssu2'])}
port = {p['port']}

[limits]
transittunnels = {o['transit']}

[exploratory]
inbound.length = {o['expl_length']}
outbound.length = {o['expl_length']}
inbound.quantity = 3
outbound.quantity = 3

[reseed]
threshold = 0
verify = true
zipfile = {net['dir']}/reseed.zip

[http]
enabled = true
address = {p['ip']}
port = {p['console_port']}
strictheaders = false
auth = false

[i2pcontrol]
enabled = true
address = {p['ip']}
port = {p['control_port']}
password = {CONTROL_PASSWORD}

[sam]
enabled = true
address = {p['ip']}
port = {p['sam_port']}

[httpproxy]
enabled = false

[socksproxy]
enabled = false

[i2cp]
enabled = false

[bob]
enabled = false

[upnp]
enabled = false

[nettime]
enabled = false

[addressbook]
enabled = true
defaulturl = http://none.invalid/
subscriptions = http://none.invalid/
"""


def emissary_conf(net, p):
    o = net["options"]
    local = net["mode"] != "netns"
    t = f"""\
# made by testnet
allow_local = {yes(local)}
caps = "{'Xf' if p['floodfill'] else 'X'}R"
floodfill = {yes(p['floodfill'])}
insecure_tunnels = {yes(o['emissary_insecure'])}
net_id = {net['netid']}
log = "{o['emissary_log']}"

[bandwidth]
bandwidth = 100000000
share_ratio = 1.0

[exploratory]
inbound_len = {o['expl_length']}
inbound_count = 2
outbound_len = {o['expl_length']}
outbound_count = 2

[metrics]
port = {p['metrics_port']}

[sam]
tcp_port = {p['sam_port']}
udp_port = {p['sam_port'] - 1}
host = "{p['ip']}"

[transit]
max_tunnels = {o['transit']}
"""
    if o["ntcp2"]:
        t += f"""
[ntcp2]
port = {p['port']}
ipv4_host = "{p['ip']}"
ipv4 = true
ipv6 = false
publish = true
"""
        if o["emissary_pq"]:
            t += "ml_kem = 4\n"
        else:
            t += "disable_pq = true\n"
    if o["ssu2"]:
        t += f"""
[ssu2]
port = {p['port']}
ipv4_host = "{p['ip']}"
ipv4 = true
ipv6 = false
publish = true
"""
        if o["emissary_pq"]:
            t += 'ml_kem = "4,3"\n'
        else:
            t += "disable_pq = true\n"
    return t


def java_conf(net, p):
    o = net["options"]
    n = o["expl_length"]
    t = f"""\
# made by testnet
router.networkID={net['netid']}
router.reseedDisable=true
router.updateDisabled=true
router.newsRefreshFrequency=0
router.dynamicKeys=false
router.isHidden=false
router.blocklist.enable=false
router.sybilFrequency=0
router.floodfillParticipant={yes(p['floodfill'])}
router.sharePercentage=100
router.maxParticipatingTunnels={0 if o.get('notransit') else o['transit']}
router.rejectStartupTime=0
router.defaultProcessingTimeThrottle=60000
router.maxTunnelPercentage=100
i2np.allowLocal=true
i2np.laptopMode=false
i2np.upnp.enable=false
i2np.ntcp.enable={yes(o['ntcp2'])}
i2np.ntcp.autoip=false
i2np.ntcp.autoport=false
i2np.ntcp.hostname={p['ip']}
i2np.ntcp.port={p['port']}
i2np.ntcp.ipv6=false
i2np.udp.enable={yes(o['ssu2'])}
i2np.udp.addressSources=hidden
i2np.udp.host={p['ip']}
i2np.udp.port={p['port']}
i2np.udp.internalPort={p['port']}
i2np.udp.ipv6=false
i2np.bandwidth.inboundKBytesPerSecond=4000
i2np.bandwidth.outboundKBytesPerSecond=4000
i2np.bandwidth.inboundBurstKBytesPerSecond=4000
i2np.bandwidth.outboundBurstKBytesPerSecond=4000
i2cp.disableInterface=true
router.inboundPool.length={n}
router.inboundPool.lengthVariance=0
router.inboundPool.quantity=3
router.outboundPool.length={n}
router.outboundPool.lengthVariance=0
router.outboundPool.quantity=3
time.disabled=true
stat.full=true
"""
    if o["bandwidth"] != "X":
        t += f"router.forceBandwidthClass={o['bandwidth']}\n"
    return t


def java_logger(net, p):
    """Log level, then class=level.. : --java-log warn,net.i2p.router.tunnel=info"""
    levels = {"debug": "DEBUG", "info": "INFO", "warn": "WARN", "error": "ERROR"}
    first, *rest = net["options"].get("java_log", "warn").split(",")
    t = f"logger.defaultLevel={levels.get(first.lower(), 'WARN')}\n" \
        "logger.displayOnScreen=false\nlogger.dropOnOverflow=false\n" \
        "logger.dropDuplicates=false\nlogger.logFileSize=512m\n" \
        "logger.logRotationLimit=2\nlogger.flushInterval=1\n"
    for x in rest:
        k, _, v = x.partition("=")
        t += f"logger.record.{k}={levels.get(v.lower(), 'INFO')}\n"
    return t


def write_conf(net, p):
    d = Path(p["dir"])
    d.mkdir(parents=True, exist_ok=True)
    if p["kind"] == "java":
        (d / "router.config").write_text(java_conf(net, p))
        (d / "logger.config").write_text(java_logger(net, p))
    elif p["kind"] == "emissary":
        (d / "router.toml").write_text(emissary_conf(net, p))
    else:
        (d / "i2pd.conf").write_text(i2pd_conf(net, p))
        own = net["options"].get("tunnels", {}).get(p["name"])
        (d / "tunnels.conf").write_text(Path(own).read_text() if own else "")
        # i2pd 2.45.1 ends on SAM's STREAM CONNECT when its address book is
        # disabled; a book with an entry keeps it from fetching one
        (d / "addressbook").mkdir(exist_ok=True)
        (d / "addressbook" / "addresses.csv").write_text(
            f"testnet-placeholder.i2p,{'a' * 52}\n")


def certificates(p):
    """Of those whose su3 files and hosts an i2pd trusts: its own folder's, where it has them."""
    own = Path(p["dir"], "certificates")
    return own if own.is_dir() else HOME / p["kind"] / "usr/share/i2pd/certificates"


def router_command(net, p):
    d = p["dir"]
    if p["kind"] == "emissary":
        cmd = [str(HOME / "emissary/bin/emissary-cli"), "--base-path", d,
               "--disable-reseed", "--disable-upnp", "--disable-nat-pmp"]
    elif p["kind"] == "java":
        cp = ":".join(map(str, [HOME / "java" / "classes", *java_jars()]))
        cmd = ["java", f"-Xmx{net['options'].get('java_heap', 256)}m",
               "-XX:+UseSerialGC", "-Djava.net.preferIPv4Stack=true",
               "-Djava.awt.headless=true"] + \
            [f"-Di2p.dir.{x}={d}" for x in ("base", "config", "router", "log",
                                            "pid", "app")] + \
            [f"-Di2p.dir.temp={d}/tmp", f"-DloggerFilenameOverride={d}/router.log",
             f"-Drouter.configLocation={d}/router.config",
             f"-Dtestnet.address={p['ip']}", f"-Dtestnet.http={p['console_port']}",
             f"-Dtestnet.sam={p['sam_port']}",
             f"-Dtestnet.uptime={net['options'].get('java_uptime', 95) * 1000}",
             "-cp", cp, "Peer"]
    else:
        cmd = i2pd_command(p["kind"]) + [
            f"--datadir={d}", f"--conf={d}/i2pd.conf",
            f"--tunconf={d}/tunnels.conf",
            f"--certsdir={certificates(p)}"]
    if net["mode"] == "netns":
        cmd = Spaces(net).at(p["name"]) + cmd
    return cmd


def start_router(net, p):
    if not p.get("proc") or not alive(p["proc"]):
        # left by a Java router that was killed: the next would wait for it
        Path(p["dir"], "router.ping").unlink(missing_ok=True)
        log = f"{p['dir']}/router.log" if p["kind"] == "emissary" \
            else f"{p['dir']}/output.log"
        p["proc"] = spawn(router_command(net, p), log=log, cwd=p["dir"],
                          env={**os.environ, "NO_COLOR": "1"})
        Path(p["dir"], "router.pid").write_text(f"{p['proc']['pid']}\n")
