"""Installs the peers: i2pd from Debian packages, emissary with cargo, Java I2P with Maven."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from .common import (EMISSARY_VERSION, HOME, I2PD_RELEASES, JAVA_JARS, JAVA_VERSION, KINDS, die,
                     note, out, sh)


def debian_mirror():
    if os.environ.get("TESTNET_DEB_MIRROR"):
        return os.environ["TESTNET_DEB_MIRROR"]
    files = [Path("/etc/apt/sources.list")] + \
        sorted(Path("/etc/apt/sources.list.d").glob("*.list")) + \
        sorted(Path("/etc/apt/sources.list.d").glob("*.sources"))
    for f in files:
        if not f.exists():
            continue
        for line in f.read_text().splitlines():
            m = re.match(r"\s*(?:deb\s+(?:\[[^]]*\]\s*)?|URIs:\s*)(\S+)", line)
            if m and "security" not in m.group(1):
                return m.group(1).rstrip("/")
    die("no Debian mirror in the apt sources; set TESTNET_DEB_MIRROR")


def setup_i2pd(kind, release, refresh):
    dest = HOME / kind
    stamp = dest / "installed.json"
    if stamp.exists() and not refresh:
        info = json.loads(stamp.read_text())
        if info.get("release") == release:
            note(f"{kind}: {info['version']} is there")
            return info
    apt = HOME / "apt" / release
    for d in ("lists/partial", "cache/archives/partial", "etc", "deb"):
        (apt / d).mkdir(parents=True, exist_ok=True)
    (apt / "status").write_text("")
    (apt / "sources.list").write_text(f"deb {debian_mirror()} {release} main\n")
    opts = ["-q",
            "-o", f"Dir::Etc::SourceList={apt}/sources.list",
            "-o", "Dir::Etc::SourceParts=/dev/null",
            "-o", "Dir::Etc::Preferences=/dev/null",
            "-o", "Dir::Etc::PreferencesParts=/dev/null",
            "-o", f"Dir::State::Lists={apt}/lists",
            "-o", f"Dir::State::status={apt}/status",
            "-o", f"Dir::State::extended_states={apt}/extended",
            "-o", f"Dir::Cache={apt}/cache",
            "-o", "APT::Sandbox::User=root",
            "-o", "APT::Install-Recommends=0",
            "-o", "Acquire::Languages=none",
            "-o", "Debug::NoLocking=1"]
    note(f"{kind}: reading the package list of {release}")
    sh(["apt-get", *opts, "update"])
    plan = sh(["apt-get", *opts, "-y", "--print-uris", "install", "i2pd"])
    names = sorted(set(re.findall(r"^'[^']*' ([a-z0-9.+-]+)_", plan, re.M)))
    # the program and the shared libraries it is linked with; not the
    # packages that only its service account scripts need
    keep = [n for n in names if n == "i2pd" or n == "zlib1g" or re.match(
        r"lib(boost|c6$|gcc-s1|miniupnpc|ssl|crypto|stdc\+\+|zstd)", n)]
    if "i2pd" not in keep:
        die(f"{release} has no i2pd")
    deb = apt / "deb"
    for f in deb.glob("*.deb"):
        f.unlink()
    sh(["apt-get", *opts, "download", *keep], cwd=deb)
    tmp = HOME / f".{kind}.new"
    shutil.rmtree(tmp, ignore_errors=True)
    tmp.mkdir(parents=True)
    for f in sorted(deb.glob("*.deb")):
        sh(["dpkg-deb", "-x", f, tmp])
    shutil.rmtree(dest, ignore_errors=True)
    tmp.rename(dest)
    text = sh(i2pd_command(kind) + ["--version"])
    m = re.search(r"i2pd version (\S+) \((\S+)\)", text)
    if not m:
        die(f"{kind} does not run: {text}")
    info = {"kind": kind, "release": release, "version": m.group(1),
            "router_version": m.group(2)}
    stamp.write_text(json.dumps(info))
    note(f"{kind}: installed {info['version']}")
    return info


def i2pd_command(kind):
    """The unpacked program, run by the dynamic linker of its own release."""
    root = HOME / kind
    prog = next((root / d / "i2pd" for d in ("usr/sbin", "usr/bin")
                 if (root / d / "i2pd").is_file()), None)
    loader = next((p for p in (root / "lib64/ld-linux-x86-64.so.2",
                               root / "usr/lib64/ld-linux-x86-64.so.2",
                               root / "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
                               root / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
                   if p.exists() and p.resolve().is_relative_to(root.resolve())),
                  None)
    if not prog or not loader:
        die(f"{kind} is not installed: run `testnet setup`")
    libs = [str(p) for p in (root / "usr/lib/x86_64-linux-gnu",
                             root / "lib/x86_64-linux-gnu") if p.is_dir()]
    return [str(loader), "--library-path", ":".join(libs), str(prog)]


def setup_emissary(jobs, refresh):
    prog = HOME / "emissary" / "bin" / "emissary-cli"
    if prog.exists() and not refresh:
        v = sh([prog, "--version"]).strip()
        if v.endswith(EMISSARY_VERSION):
            note(f"emissary: {v} is there")
            return {"kind": "emissary", "version": v}
    note(f"emissary: building {EMISSARY_VERSION} (ten minutes or more)")
    cmd = ["cargo", "install", "emissary-cli", "--version", EMISSARY_VERSION,
           "--no-default-features", "--features", "metrics", "--locked",
           "--root", str(HOME / "emissary"), "--force"]
    if jobs:
        cmd += ["-j", str(jobs)]
    env = dict(os.environ)
    env.setdefault("CARGO_TARGET_DIR", str(HOME / "emissary-target"))
    r = subprocess.run(cmd, env=env)
    if r.returncode:
        die("building emissary failed")
    v = sh([prog, "--version"]).strip()
    note(f"emissary: installed {v}")
    return {"kind": "emissary", "version": v}


def need_java():
    """Java 17 or newer, compiler included; its major version."""
    for prog, package in (("java", "a JRE"), ("javac", "a JDK")):
        if not shutil.which(prog):
            die(f"peers of kind java need {package} >= 17: no `{prog}` on the path")
    text = subprocess.run(["javac", "-version"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True).stdout
    m = re.search(r"javac (\d+)", text)
    if not m or int(m.group(1)) < 17:
        die(f"peers of kind java need a JDK >= 17; `javac -version` says: "
            f"{text.strip()[:200]}")
    return int(m.group(1))


def java_jars():
    return [HOME / "java" / f"{a.split(':')[1]}-{JAVA_VERSION}.jar"
            for a in JAVA_JARS]


def java_classes():
    """Compiles Peer.java, when it is newer than what is there."""
    src = Path(__file__).resolve().parent / "Peer.java"
    dest = HOME / "java" / "classes"
    if not all(j.exists() for j in java_jars()):
        die("java is not installed: run `testnet setup --only java`")
    done = dest / "Peer.class"
    if not done.exists() or done.stat().st_mtime < src.stat().st_mtime:
        need_java()
        tmp = HOME / "java" / f".classes.{os.getpid()}"
        shutil.rmtree(tmp, ignore_errors=True)
        sh(["javac", "-nowarn", "-Xlint:-path", "-d", tmp, "-cp",
            ":".join(map(str, java_jars())), src])
        shutil.rmtree(dest, ignore_errors=True)
        tmp.rename(dest)
    return dest


def setup_java(refresh):
    major = need_java()
    d = HOME / "java"
    d.mkdir(parents=True, exist_ok=True)
    fetched = 0
    for a, jar in zip(JAVA_JARS, java_jars()):
        if jar.exists() and not refresh:
            continue
        if not shutil.which("mvn"):
            die("peers of kind java need Maven's client `mvn` to fetch the jars")
        note(f"java: fetching {a}:{JAVA_VERSION}")
        art = f"{a}:{JAVA_VERSION}"
        sh(["mvn", "-q", "-B", "dependency:get", f"-Dartifact={art}",
            "-Dtransitive=false"], cwd=d)
        sh(["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={art}",
            f"-DoutputDirectory={d}"], cwd=d)
        if not jar.exists():
            die(f"java: mvn did not leave {jar}")
        fetched += 1
    if refresh:
        shutil.rmtree(d / "classes", ignore_errors=True)
    java_classes()
    note(f"java: {JAVA_VERSION} is " + ("installed" if fetched else "there"))
    return {"kind": "java", "version": JAVA_VERSION, "java": major}


def installed(kind):
    """What is installed of a kind, without installing it; None when it is not there."""
    if kind == "java":
        there = all(j.exists() for j in java_jars()) and shutil.which("java")
        return {"kind": kind, "version": JAVA_VERSION} if there else None
    if kind == "emissary":
        there = (HOME / "emissary" / "bin" / "emissary-cli").exists()
        return {"kind": kind, "version": EMISSARY_VERSION} if there else None
    stamp = HOME / kind / "installed.json"
    return json.loads(stamp.read_text()) if stamp.exists() else None


@contextlib.contextmanager
def only_one(kind):
    """Keeps a second setup of the same kind waiting until the first is done."""
    HOME.mkdir(parents=True, exist_ok=True)
    with open(HOME / f".{kind}.lock", "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def cmd_setup(a):
    res = []
    for kind in a.only or KINDS:
        with only_one(kind):
            if kind == "java":
                res.append(setup_java(a.refresh))
            elif kind == "emissary":
                res.append(setup_emissary(a.jobs, a.refresh))
            else:
                release = I2PD_RELEASES[kind]
                if kind == "i2pd-new" and a.new_release:
                    release = a.new_release
                res.append(setup_i2pd(kind, release, a.refresh))
    out(res)


def cmd_installed(a):
    """Lists what is there; exit 1 when something asked for is missing."""
    found = {kind: installed(kind) for kind in a.only or KINDS}
    out(found)
    return 0 if all(found.values()) else 1
