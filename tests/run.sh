#!/usr/bin/env bash
# README's second command: installs what is missing, builds every flavour, runs every test. At most 45 minutes on 2 cores.
#   tests/run.sh          release, ASan+UBSan and TSan
#   tests/run.sh --fast   release only: the inner loop
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

run() {  # preset, ctest arguments: a step with its duration
  local started=$SECONDS preset=$1; shift
  ctest --preset "$preset" --no-tests=error "$@"
  echo "== $preset $*: passed in $((SECONDS - started)) s"
}

for flavour in "${flavours[@]}"; do
  started=$SECONDS
  cmake --preset "$flavour" >/dev/null
  cmake --build --preset "$flavour" -j "$jobs"
  echo "== $flavour: built in $((SECONDS - started)) s"
  if [ "$flavour" = release ]; then
    run release -L 'unit|simulation|fuzz' -j "$jobs"
    # Whole clusters, which mostly wait: two tests at a time.
    run release -L integration -j 2
  else
    run "$flavour" -L 'unit|simulation|fuzz' -j "$jobs"
    run "$flavour" -L integration_core -j 2
  fi
done
echo "== all tests passed in $((SECONDS)) s"
