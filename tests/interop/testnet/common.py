"""Names, addresses and ports of a test network, and how its commands speak."""

import json
import os
import subprocess
import sys
from pathlib import Path


os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


HOME = Path(os.environ.get("TESTNET_HOME",
                           os.path.expanduser("~/.cache/i2p-testnet")))

# kind -> Debian release the package comes from
I2PD_RELEASES = {"i2pd": "bookworm", "i2pd-mid": "trixie", "i2pd-new": "sid"}
EMISSARY_VERSION = "0.4.0"
JAVA_VERSION = "2.7.0"
JAVA_JARS = ["net.i2p:i2p", "net.i2p:router", "net.i2p.client:streaming",
             "net.i2p.client:mstreaming"]
KINDS = list(I2PD_RELEASES) + ["emissary", "java"]

PREFIX = 51             # peers get <PREFIX>.<k>.0.1 inside their namespaces
HUB_ADDR = f"{PREFIX}.255.0.1"
FIRST_PORT = 15000      # NTCP2 and SSU2 port of peer 0
CONSOLE_PORT = 7070
SAM_PORT = 7656
CONTROL_PORT = 7650
METRICS_PORT = 7788
CONTROL_PASSWORD = "testnet"

# the command itself, for what has to run in another namespace
PROGRAM = Path(__file__).resolve().parent.parent / "testnet.py"


def die(msg, code=1):
    print(f"testnet: {msg}", file=sys.stderr)
    sys.exit(code)


def note(msg):
    print(f"testnet: {msg}", file=sys.stderr, flush=True)


def out(obj):
    print(json.dumps(obj, indent=2, sort_keys=False))


def sh(cmd, **kw):
    """Runs a command, raises with its output when it fails."""
    r = subprocess.run([str(c) for c in cmd], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, **kw)
    if r.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, cmd))}: exit {r.returncode}\n"
                           f"{r.stdout[-3000:]}")
    return r.stdout
