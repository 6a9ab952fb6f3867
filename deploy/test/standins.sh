#!/usr/bin/env bash
# Prepares an engine that can build and run deploy/Containerfile without an image registry: writes the engine's
# configuration, and makes the two base images from Debian packages under the names that the Containerfile uses, so
# that what is tested is the file that users get. Prints the configuration's path, for CONTAINERS_CONF.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/target/containers
mkdir -p "$work"
export CONTAINERS_CONF=$work/containers.conf

# runc, because crun refuses hosts with hybrid cgroups; cgroupfs and files, because there may be no systemd.
cat >"$CONTAINERS_CONF" <<C
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "oci-clamp"
[engine.runtimes]
oci-clamp = ["$PWD/deploy/test/oci-clamp"]
C

if ! podman image exists debian:bookworm-slim; then
  [ -f "$work/debian.tar" ] ||
    mmdebstrap --quiet --variant=minbase --include=ca-certificates bookworm "$work/debian.tar" >&2
  podman import -q --change 'CMD ["bash"]' "$work/debian.tar" debian:bookworm-slim >&2
fi
# The toolchain itself is mounted into the build: see run.sh.
if ! podman image exists rust:1.95-bookworm; then
  podman build -q --pull=never -t rust:1.95-bookworm - >&2 <<'C'
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends gcc git libc6-dev make pkg-config && rm -rf /var/lib/apt/lists/*
ENV CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:/usr/local/toolchain/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
C
fi
echo "$CONTAINERS_CONF"
