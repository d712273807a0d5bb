#!/usr/bin/env bash
# Installs what building, testing and running Tidemark needs on Debian 12, and nothing that is there already.
#   deploy/dependencies.sh           installs what is missing (as root or through sudo); quick when all is there
#   deploy/dependencies.sh --check   installs nothing; prints what is missing, exit status 1 if something is
set -euo pipefail

packages=(
  # Building. clang-19 because g++ 12 miscompiles coroutines; ccache and lld-19 make builds quicker.
  clang-19 clang-format-19 clang-tidy-19 llvm-19 libclang-rt-19-dev lld-19 libstdc++-12-dev libc6-dev
  ccache cmake ninja-build pkg-config
  libzookeeper-mt-dev libevent-dev libprotobuf-dev protobuf-compiler libgoogle-glog-dev libgflags-dev
  libgtest-dev libgmock-dev libbenchmark-dev libssl-dev zlib1g-dev libzstd-dev liblz4-dev libsnappy-dev libisal-dev
  libfmt-dev nlohmann-json3-dev prometheus-cpp-dev libre2-dev
  # ZooKeeper's server and its command line.
  default-jre-headless libzookeeper-java libslf4j-java liblog4j1.2-java libcommons-cli-java
  # Tests and examples.
  python3 python3-protobuf python3-kazoo
  # Tests of the completion run it in the shells themselves.
  bash zsh
  # Tests on disks that fail: loop images, frozen file systems, injected errors.
  e2fsprogs mount util-linux strace
  # Tests of the alert rules and of the systemd units: promtool and prometheus, systemd-analyze.
  prometheus systemd
)

check_only=no
case "${1:-}" in
  "") ;;
  --check) check_only=yes ;;
  *) echo "usage: deploy/dependencies.sh [--check]" >&2; exit 2 ;;
esac

command -v dpkg-query >/dev/null || { echo "dependencies.sh: this is not a Debian system (no dpkg-query)" >&2; exit 1; }
declare -A installed=()
while read -r status name; do
  if [ "$status" = ii ]; then installed[$name]=1; fi
done < <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
missing=()
for package in "${packages[@]}"; do
  [ -n "${installed[$package]:-}" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$check_only" = yes ]; then
  printf '%s\n' "${missing[@]}"
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "dependencies.sh: run it as root, or install sudo; missing: ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi
echo "installing: ${missing[*]}" >&2
# Only programs are wanted: Debian would also start the services that come with them (Prometheus listens on every
# address), so that is refused while packages are set up, and what was not there before is not enabled either.
guard=/usr/sbin/policy-rc.d
if [ ! -e "$guard" ]; then
  trap '"${as_root[@]}" rm -f "$guard"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$guard" >/dev/null
  "${as_root[@]}" chmod 755 "$guard"
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
if [[ " ${missing[*]} " == *" prometheus "* ]]; then
  "${as_root[@]}" systemctl disable --quiet prometheus.service >&2 || true
fi
