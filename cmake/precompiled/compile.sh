#!/bin/sh
# compile.sh COMMAND...: runs the compiler, and beside a precompiled header that it made writes X.pch.sum: a checksum of
# the headers in it. ccache takes that for the header's own bytes, which hold paths, so that another checkout of the
# same tree finds its objects in the cache.
set -eu
"$@"
output='' headers='' before=''
for word; do
  case $before in
    -o) output=$word ;;
    -MF) headers=$word ;;
  esac
  before=$word
done
case $output in
  *.pch)
    sums=$(sed -e 's/^[^ ]*: *//' -e 's/\\$//' "$headers" | xargs sha256sum)
    echo "$sums" | cut -c 1-64 | sort | sha256sum >"$output.sum"
    ;;
esac
