#!/usr/bin/env bash
# README's second command: installs what is missing, builds every flavour, runs every test. At most 45 minutes on 2 cores.
#   tests/run.sh          release, ASan+UBSan and TSan
#   tests/run.sh --fast   release only: the inner loop
#
# Whole clusters mostly wait, so their tests run beside the build of the next flavour, which gives way to them (nice);
# what they print comes when they have ended.
set -euo pipefail
cd "$(dirname "$0")/.."

flavours=(release asan tsan)
case "${1:-}" in
  "") ;;
  --fast) flavours=(release) ;;
  *) echo "usage: tests/run.sh [--fast]" >&2; exit 2 ;;
esac

deploy/dependencies.sh
jobs=$(nproc)
export CTEST_OUTPUT_ON_FAILURE=1
beside=""   # pid of the cluster tests that run beside a build
printed=$(mktemp)
trap 'stop_clusters || true; rm -f "$printed"' EXIT

run() {  # preset, ctest arguments: a step with its duration
  local started=$SECONDS preset=$1; shift
  ctest --preset "$preset" --no-tests=error "$@"
  echo "== $preset $*: passed in $((SECONDS - started)) s"
}

build() {  # preset
  local started=$SECONDS
  cmake --preset "$1" >/dev/null
  nice -n 10 cmake --build --preset "$1" -j "$jobs"
  echo "== $1: built in $((SECONDS - started)) s"
}

begin_clusters() {  # preset, label
  set -m  # a process group of its own, to be ended whole
  run "$1" -L "$2" -j 2 </dev/null >"$printed" 2>&1 &
  beside=$!
  set +m
}

stop_clusters() {  # the build beside them has failed, or all is interrupted
  [ -n "$beside" ] || return 0
  kill -TERM -- "-$beside" && wait "$beside"
  cat "$printed"
}

end_clusters() {
  [ -n "$beside" ] || return 0
  local passed=0
  wait "$beside" || passed=$?
  beside=""
  cat "$printed"
  return "$passed"
}

for flavour in "${flavours[@]}"; do
  build "$flavour"
  end_clusters
  run "$flavour" -L 'unit|simulation|fuzz' -j "$jobs"
  if [ "$flavour" = release ]; then
    begin_clusters release integration
  else
    begin_clusters "$flavour" integration_core
  fi
done
end_clusters
echo "== all tests passed in $((SECONDS)) s"
