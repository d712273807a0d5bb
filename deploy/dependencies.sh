#!/usr/bin/env bash
# Installs what building, testing and the demo need and is missing (Debian 12). Does nothing when all is there.
set -euo pipefail

packages=(
  clang-19 clang-format-19 clang-tidy-19 llvm-19 libclang-rt-19-dev lld-19
  ccache cmake ninja-build pkg-config make
  libzookeeper-mt-dev libevent-dev libprotobuf-dev protobuf-compiler libgoogle-glog-dev libgflags-dev
  libgtest-dev libgmock-dev libbenchmark-dev libssl-dev zlib1g-dev libzstd-dev liblz4-dev libsnappy-dev
  libisal-dev libfmt-dev nlohmann-json3-dev prometheus-cpp-dev
  default-jre-headless libzookeeper-java liblog4j1.2-java libslf4j-java libcommons-cli-java
  python3 python3-protobuf python3-kazoo
)

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [ "$status" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "error: these packages are missing and neither root nor sudo is at hand: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "installing: ${missing[*]}" >&2
"${as_root[@]}" apt-get update -qq >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
