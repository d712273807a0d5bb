#!/usr/bin/env bash
# From nothing to a running cluster: installs what is missing, builds, starts ZooKeeper and three brokers, sends the
# Debian package index through a replicated topic and back, and stops everything.
#   quickstart.sh          as told
#   quickstart.sh --keep   leaves the cluster up and says how to stop it
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
keep=
case "${1:-}" in
  "") ;;
  --keep) keep=yes ;;
  *) sed -n '2,5s/^# \{0,3\}//p' "$0" >&2; exit 2 ;;
esac

say() { printf '\n== %s\n' "$*"; }
now() { date +%s%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN {printf "%.2f", (b - a) / 1e9}'; }

say "Installing what is missing and building"
"$here/dependencies.sh"
cd "$root"
[ -f build/release/build.ninja ] || cmake --preset release >/dev/null
cmake --build --preset release --target tidemark
bin=$root/build/release/bin

dir=$(mktemp -d -t tidemark-quickstart-XXXXXX)
finish() {
  trap - EXIT INT TERM HUP
  if [ -z "$keep" ] || [ "${1:-0}" -ne 0 ]; then
    "$here/cluster.sh" stop --dir "$dir" >/dev/null 2>&1 || true
    rm -rf "$dir"
  fi
  exit "${1:-0}"
}
trap 'finish $?' EXIT
trap 'finish 130' INT
trap 'finish 143' TERM HUP

say "Starting ZooKeeper and three brokers in $dir"
started=$(now)
"$here/cluster.sh" start --dir "$dir" --brokers 3 --bin "$bin"
bootstrap=$(cat "$dir/bootstrap")

"$bin/tidemark-topics" --bootstrap-server "$bootstrap" --create --topic packages --partitions 3 --replication-factor 3
first() { echo "hello" | "$bin/tidemark-console-producer" --bootstrap-server "$bootstrap" --topic packages &&
  "$bin/tidemark-console-consumer" --bootstrap-server "$bootstrap" --topic packages --from-beginning --max-messages 1 2>/dev/null; }
first
echo "from built programs to the first consumed record: $(since "$started") s"

say "A real stream: the Debian package index, one record per package, keyed by its name"
stanzas() { apt-cache dumpavail 2>/dev/null | awk 'BEGIN {RS = ""; FS = "\n"} /^Package: / {
  key = substr($1, 10); gsub(/\n/, "\\n"); gsub(/\t/, " "); print key "\t" $0}'; }
stanzas > "$dir/input"
if [ "$(wc -l < "$dir/input")" -lt 10000 ]; then
  if [ "$(id -u)" -eq 0 ]; then apt-get update -qq; else sudo apt-get update -qq; fi
  stanzas > "$dir/input"
fi
sent=$(wc -l < "$dir/input")
bytes=$(wc -c < "$dir/input")

rate() { awk -v n="$sent" -v b="$bytes" -v s="$1" 'BEGIN {printf "%.2f s, %.0f records/s, %.1f MB/s", s, n / s, b / 1e6 / s}'; }
begun=$(now)
"$bin/tidemark-console-producer" --bootstrap-server "$bootstrap" --topic packages --producer-property acks=all \
  --property parse.key=true --property "key.separator=	" < "$dir/input"
echo "produced $sent records with acks=all in $(rate "$(since "$begun")")"
begun=$(now)
"$bin/tidemark-console-consumer" --bootstrap-server "$bootstrap" --topic packages --from-beginning \
  --max-messages $((sent + 1)) --timeout-ms 20000 --property print.key=true --property "key.separator=	" \
  2>/dev/null | grep -av '^null	hello$' > "$dir/output"
echo "consumed $(wc -l < "$dir/output") records in $(rate "$(since "$begun")")"
if ! cmp -s <(sort "$dir/input") <(sort "$dir/output"); then
  echo "error: what was consumed is not what was produced; compare $dir/input and $dir/output" >&2
  keep=yes
  exit 1
fi
echo "what came back is what went in, byte for byte"

say "The topic"
"$bin/tidemark-topics" --bootstrap-server "$bootstrap" --describe --topic packages

say "Summary"
"$here/cluster.sh" status --dir "$dir"
cat <<S

Try (with PATH=$bin:\$PATH):
  tidemark-topics --bootstrap-server $bootstrap --list
  tidemark-console-producer --bootstrap-server $bootstrap --topic packages
  tidemark-console-consumer --bootstrap-server $bootstrap --topic packages --from-beginning --max-messages 10
  $here/cluster.sh kill 1 --dir $dir     # and look at --describe again; restart 1 brings it back
S
if [ -n "$keep" ]; then
  printf '\nThe cluster is up. To stop it:\n  %s stop --dir %s\n' "$here/cluster.sh" "$dir"
fi
