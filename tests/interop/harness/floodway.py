"""Floodway as a process inside the network, judged from outside."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from .placement import splitting_secret

METRICS_PORT = 9100
READY = re.compile(r"^floodway ready: (\S+) at (\S+), (\d+) shards?", re.M)
SCRAPE = ("import sys, urllib.request as r; "
          "print(r.urlopen(sys.argv[1], timeout=10).read().decode())")


class Router:
    """A process in a slot, started and ended by us alone."""

    def __init__(self, net, slot):
        self.net = net
        self.slot = slot
        self.ip = json.loads((net.dir / "net.json").read_text())["slots"][slot]["ip"]
        net.started += 1
        self.dir = net.dir / f"router-{net.started}-{slot}"
        self.log = net.dir / f"router-{net.started}-{slot}.log"
        self.process = None
        self.hash = None

    def spawn(self, command):
        self.dir.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.net.inside_command(self.slot, command), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "NO_COLOR": "1"})

    def running(self):
        return self.process is not None and self.process.poll() is None

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self, lines=60):
        return "\n".join(self.log_text().splitlines()[-lines:])

    def kill(self):
        if self.running():
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    def stop(self, seconds=15):
        """SIGTERM; the router must end by itself with exit code 0."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AssertionError(f"{self.slot}: still running {seconds} s after SIGTERM") from None
        assert code == 0, f"{self.slot}: exit code {code} after SIGTERM\n{self.log_tail(20)}"


def seed_files(net, reseed):
    """The router.info files that `reseed` means."""
    named = {"none": [], "peers": net.peers,
             "floodfills": [p for p in net.peers if p["floodfill"]]}
    chosen = named[reseed] if isinstance(reseed, str) else reseed
    return [net.dir / seed["name"] / "router.info" if isinstance(seed, dict) else Path(seed)
            for seed in chosen]


def import_identity(net, identity, data_dir):
    """Makes a data directory of Floodway whose router is the one in another router's directory."""
    kind, source = identity
    done = subprocess.run(
        [net.settings.program, "identity", "import", "--from", kind, source, "--data-dir", data_dir],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, f"identity import: {done.stdout}{done.stderr}"


class Floodway(Router):
    """The program under test. `reseed` is "peers" (all of them), "floodfills", "none", or a list of
    peers and router.info files. `identity` is the kind and the data directory of a router whose
    identity it takes over.
    """

    def __init__(self, net, slot, reseed="peers", floodfill=True, flags=(), port=16000,
                 identity=None):
        super().__init__(net, slot)
        self.reseed = reseed
        self.floodfill = floodfill
        self.flags = list(flags)
        self.port = port
        if identity:
            import_identity(net, identity, self.dir)
        self.shards = None

    @property
    def router_info(self):
        return self.dir / "router.info"

    def seeds(self):
        if self.reseed == "none":
            return "none"
        if self.reseed == "peers":
            return self.net.dir / "routerinfos"
        folder = self.dir.with_suffix(".seeds")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for number, file in enumerate(seed_files(self.net, self.reseed)):
            shutil.copy(file, folder / f"routerInfo-{number}.dat")
        return folder

    def command(self):
        s = self.net.settings
        command = [s.program, "run", "--network-id", 99, "--host", self.ip, "--port", self.port,
                   "--reseed", self.seeds(), "--metrics", f"{self.ip}:{METRICS_PORT}",
                   "--data-dir", self.dir, "--shards", s.shards]
        if self.floodfill:
            command.append("--floodfill")
        if s.shards > 1:
            secret = splitting_secret([p["hash"] for p in self.net.peers], s.shards)
            command += ["--placement-secret", secret]
        return command + self.flags

    def start(self, seconds=20):
        begin = len(self.log_text())
        self.spawn(self.command())
        limit = time.time() + seconds
        while True:
            ready = READY.search(self.log_text()[begin:])
            if ready:
                break
            assert self.running(), f"floodway ended before it was ready:\n{self.log_tail()}"
            assert time.time() < limit, f"floodway not ready in {seconds} s:\n{self.log_tail()}"
            time.sleep(0.1)
        self.hash = ready.group(1)
        self.shards = int(ready.group(3))
        assert ready.group(2) == f"{self.ip}:{self.port}", ready.group(0)
        assert self.shards == self.net.settings.shards, ready.group(0)

    def restart(self, **changes):
        """Stops it and starts it again with the same identity."""
        before = self.hash
        self.stop()
        for name, value in changes.items():
            setattr(self, name, value)
        self.start()
        assert self.hash == before, f"identity {before} became {self.hash}"

    def metrics(self):
        address = f"http://{self.ip}:{METRICS_PORT}/metrics"
        return Metrics(self.net.inside("hub", sys.executable, "-c", SCRAPE, address))


class StandIn(Router):
    """An i2pd in Floodway's place: shows whether a test's demands can be met by a router at all.
    What Floodway counts is taken for granted.
    """

    def __init__(self, net, slot, reseed="peers", floodfill=True, flags=(), port=16000,
                 identity=None):
        super().__init__(net, slot)
        self.reseed = reseed
        self.floodfill = floodfill
        self.port = port
        if identity:
            # What Floodway makes of it, as an i2pd lays it out.
            imported = self.dir.with_suffix(".imported")
            import_identity(net, identity, imported)
            subprocess.run([net.settings.program, "identity", "export", "--to", "i2pd", self.dir,
                            "--data-dir", imported], check=True, stdout=subprocess.DEVNULL)

    @property
    def router_info(self):
        return self.dir / "router.info"

    def start(self):
        from testnet.configs import i2pd_conf
        from testnet.install import i2pd_command
        from testnet.routerinfo import put_router_info, router_info_file
        net = json.loads((self.net.dir / "net.json").read_text())
        peer = {"name": self.slot, "dir": str(self.dir), "ip": self.ip, "port": self.port,
                "floodfill": self.floodfill, "console_port": 7070, "control_port": 7650,
                "sam_port": 7656}
        self.dir.mkdir(parents=True, exist_ok=True)
        own_zip = self.dir / "reseed.zip"
        with zipfile.ZipFile(own_zip, "w"):
            pass                    # empty: what it knows is put into its netDb
        conf = i2pd_conf(net, peer).replace(f"{net['dir']}/reseed.zip", str(own_zip))
        (self.dir / "i2pd.conf").write_text(conf)
        (self.dir / "tunnels.conf").write_text("")
        shutil.rmtree(self.dir / "netDb", ignore_errors=True)
        for file in seed_files(self.net, self.reseed):
            put_router_info(self.dir, file.read_bytes())
        self.spawn(i2pd_command("i2pd-mid") + [
            f"--datadir={self.dir}", f"--conf={self.dir}/i2pd.conf",
            f"--tunconf={self.dir}/tunnels.conf", "--ssu2.enabled=false"])
        limit = time.time() + 20
        while not self.router_info.exists() or not self.router_info.stat().st_size:
            assert self.running() and time.time() < limit, "the stand-in does not start"
            time.sleep(0.1)
        time.sleep(1)
        self.hash = router_info_file(self.router_info)["hash"]

    def restart(self, **changes):
        self.stop()
        for name, value in changes.items():
            setattr(self, name, value)
        self.start()

    def metrics(self):
        return Anything()


class Metrics:
    """One reading of the counters, in Prometheus' text form."""

    def __init__(self, text):
        self.samples = []
        for line in text.splitlines():
            found = re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)", line)
            if found and not line.startswith("#"):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', found.group(2) or ""))
                self.samples.append((found.group(1), labels, float(found.group(3))))
        assert self.samples, f"no metrics in:\n{text[:500]}"

    def of(self, name, **labels):
        """The samples of floodway_NAME that have these labels; a list means one of several."""
        def fits(have):
            return all(have.get(k) in (v if isinstance(v, (list, tuple)) else [v])
                       for k, v in labels.items())
        return [(have, value) for n, have, value in self.samples
                if n == f"floodway_{name}" and fits(have)]

    def total(self, name, **labels):
        return sum(value for _, value in self.of(name, **labels))

    def drops(self):
        """What was dropped, by reason, over all shards."""
        counts = {}
        for labels, count in self.of("drops_total"):
            if count:
                counts[labels["reason"]] = counts.get(labels["reason"], 0) + int(count)
        return counts

    def show(self, *names):
        """Lines of the samples whose names begin so, for messages."""
        return "\n".join(f"{n}{labels} {value:g}" for n, labels, value in self.samples
                         if value and any(n.startswith(f"floodway_{x}") for x in names))


class Anything(Metrics):
    """Of a stand-in: grows with every reading."""

    def __init__(self):
        self.samples = []
        self.read_at = time.time()

    def total(self, name, **labels):
        return self.read_at

    def of(self, name, **labels):
        return [({"shard": str(n), "reason": "anything"}, 1) for n in range(8)]
