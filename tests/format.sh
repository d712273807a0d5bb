#!/bin/sh
# Checks that every C++ file is as clang-format-19 leaves it; --fix rewrites those that are not. Run by ctest.
set -eu
cd "$(dirname "$0")/.."
mode="--dry-run -Werror"
case "${1:-}" in
  "") ;;
  --fix) mode="-i" ;;
  *) echo "usage: tests/format.sh [--fix]" >&2; exit 2 ;;
esac
# shellcheck disable=SC2086  # the mode is two words
find common client broker controller tools tests bench \( -name '*.cc' -o -name '*.h' \) -print0 |
  xargs -0 -P2 -n40 clang-format-19 $mode
