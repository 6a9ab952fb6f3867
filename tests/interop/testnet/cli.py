"""The command line."""

import argparse
import os
import sys

from . import commands
from .common import JAVA_VERSION, KINDS, die
from .install import cmd_installed, cmd_setup
from .sam import cmd_sam_echo
from .up import cmd_up


def main():
    ap = argparse.ArgumentParser(prog="testnet", description="A private I2P network of existing routers.")
    sub = ap.add_subparsers(dest="cmd", required=True)

    p = sub.add_parser("setup", help="install the peers (apt, cargo, mvn)")
    p.add_argument("--only", action="append", choices=KINDS)
    p.add_argument("--new-release", help="Debian release of i2pd-new (sid)")
    p.add_argument("--refresh", action="store_true")
    p.add_argument("--jobs", type=int, default=0)
    p.set_defaults(f=cmd_setup)

    p = sub.add_parser("installed", help="which peers are there; exit 1 when one is missing")
    p.add_argument("--only", action="append", choices=KINDS)
    p.set_defaults(f=cmd_installed)

    p = sub.add_parser("up", help="start a network")
    p.add_argument("--dir", required=True)
    p.add_argument("--i2pd", type=int, default=0, metavar="N",
                   help="peers of i2pd 2.45.1")
    p.add_argument("--i2pd-mid", type=int, default=0, metavar="N",
                   help="peers of i2pd 2.56.0")
    p.add_argument("--i2pd-new", type=int, default=0, metavar="N",
                   help="peers of the newest i2pd")
    p.add_argument("--emissary", type=int, default=0, metavar="N")
    p.add_argument("--java", type=int, default=0, metavar="N",
                   help=f"peers of Java I2P {JAVA_VERSION}")
    p.add_argument("--floodfills", metavar="N|p0,p3",
                   help="how many peers are floodfills (half), or which")
    p.add_argument("--netid", type=int, default=99)
    p.add_argument("--net", choices=["netns", "loopback"], default="netns")
    p.add_argument("--slots", type=int, default=2,
                   help="namespaces for routers under test")
    p.add_argument("--extra-routerinfo", action="append", metavar="FILE")
    p.add_argument("--no-ntcp2", action="store_true")
    p.add_argument("--no-ssu2", action="store_true")
    p.add_argument("--notransit", action="store_true",
                   help="i2pd and Java peers carry no transit tunnels, so that the "
                        "router under test is the only hop there is; use it "
                        "with --expl-length 1")
    p.add_argument("--tunnels", action="append", metavar="PEER=FILE",
                   help="i2pd tunnels.conf for one peer, such as p0=FILE")
    p.add_argument("--expl-length", type=int, default=2)
    p.add_argument("--bandwidth", default="X")
    p.add_argument("--transit-limit", type=int, default=5000)
    p.add_argument("--loglevel", choices=["debug", "info", "warn", "error"],
                   help="of i2pd (info) and Java (warn) peers")
    p.add_argument("--java-log", metavar="LEVEL[,CLASS=LEVEL..]",
                   help="such as warn,net.i2p.router.tunnel.pool=info")
    p.add_argument("--java-heap", type=int, default=256, metavar="MB")
    p.add_argument("--java-uptime", type=int, default=95, metavar="S",
                   help="how long Java peers believe to have run when they start; "
                        "they refuse transit in their first 90 s (0: as in life)")
    p.add_argument("--emissary-log", default="info")
    p.add_argument("--emissary-no-pq", action="store_true")
    p.add_argument("--emissary-insecure", action="store_true",
                   help="lift emissary's limits on small networks")
    p.add_argument("--stagger", type=float, default=0,
                   help="seconds between the starts of the peers")
    p.add_argument("--wait", type=float, default=180,
                   help="seconds to wait until ready; 0: do not wait")
    p.set_defaults(f=cmd_up)

    def dirarg(p):
        p.add_argument("dir")
        return p

    p = dirarg(sub.add_parser("down", help="end the network"))
    p.add_argument("--purge", action="store_true")
    p.set_defaults(f=commands.cmd_down)
    p = dirarg(sub.add_parser("status", help="what every peer reports"))
    p.add_argument("--detail", action="store_true")
    p.set_defaults(f=commands.cmd_status)
    p = dirarg(sub.add_parser("wait-ready", help="wait until all have tunnels"))
    p.add_argument("--timeout", type=float, default=180)
    p.set_defaults(f=commands.cmd_wait_ready)
    p = dirarg(sub.add_parser("peers", help="sessions and hops of one peer"))
    p.add_argument("--peer", required=True)
    p.set_defaults(f=commands.cmd_peers)
    p = dirarg(sub.add_parser("routerinfos", help="where the router.info files are"))
    p.add_argument("--refresh", action="store_true")
    p.set_defaults(f=commands.cmd_routerinfos)
    p = dirarg(sub.add_parser("seed", help="put router.info files into every netDb"))
    p.add_argument("file", nargs="+")
    p.add_argument("--restart", action="store_true")
    p.add_argument("--peer", action="append")
    p.set_defaults(f=commands.cmd_seed)
    p = dirarg(sub.add_parser("restart", help="restart peers"))
    p.add_argument("peer", nargs="+")
    p.set_defaults(f=commands.cmd_restart)
    p = dirarg(sub.add_parser("stop", help="stop peers"))
    p.add_argument("peer", nargs="+")
    p.set_defaults(f=commands.cmd_stop)
    p = dirarg(sub.add_parser("exec", help="run a command inside the network"))
    p.add_argument("--slot", default="rut0", help="rut0, rut1.., p0.. or hub")
    p.add_argument("command", nargs=argparse.REMAINDER)
    p.set_defaults(f=commands.cmd_exec)
    p = sub.add_parser("ri", help="show router.info files")
    p.add_argument("file", nargs="+")
    p.set_defaults(f=commands.cmd_ri)
    p = dirarg(sub.add_parser("expect", help="wait until peers report something"))
    p.add_argument("what", choices=["session", "ntcp2", "ssu2", "hop", "next",
                                    "known", "published", "leaseset"])
    p.add_argument("router", help="hash, router.info file, peer, or b32")
    p.add_argument("--peer", action="append")
    p.add_argument("--count", type=int, default=1)
    p.add_argument("--timeout", type=float, default=60)
    p.set_defaults(f=commands.cmd_expect)
    p = dirarg(sub.add_parser("sam-echo", help="bytes between two destinations"))
    p.add_argument("A")
    p.add_argument("B")
    p.add_argument("--bytes", type=int, default=1 << 20)
    p.add_argument("--length", type=int, default=2)
    p.add_argument("--quantity", type=int, default=2)
    p.add_argument("--enc-type", default="4",
                   help="i2cp.leaseSetEncType: 4 (X25519), 6,4 (with ML-KEM)..; "
                        "i2pd 2.45.1 takes 0 (ElGamal) when it is not given")
    p.add_argument("--via", help="hops to force (i2pd only): peers or hashes")
    p.add_argument("--option", action="append", metavar="K=V")
    p.add_argument("--timeout", type=float, default=120)
    p.add_argument("--hold", type=float, default=0)
    p.set_defaults(f=cmd_sam_echo)
    a = ap.parse_args()
    try:
        sys.exit(a.f(a))
    except BrokenPipeError:
        os._exit(1)
    except (RuntimeError, OSError) as e:
        die(str(e))
