#!/usr/bin/env bash
# Derives deploy/seccomp-io-uring.json: the default profile of this Debian's container tools, plus the three calls
# of io_uring, which that profile refuses.
#
#   bash deploy/test/seccomp.sh           writes the file
#   bash deploy/test/seccomp.sh --check   says whether the file is what would be written
set -euo pipefail
cd "$(dirname "$0")/../.."
default=${SECCOMP_DEFAULT:-/usr/share/containers/seccomp.json}
profile=deploy/seccomp-io-uring.json

derived() {
  jq '.syscalls += [{names: ["io_uring_enter", "io_uring_register", "io_uring_setup"], action: "SCMP_ACT_ALLOW"}]' \
    "$default"
}

if [ "${1:-}" = --check ]; then
  diff <(jq -S . "$profile") <(derived | jq -S .) && echo "$profile is $default with io_uring"
else
  derived >"$profile"
fi
