#!/usr/bin/env bash
# From nothing to a running cluster: installs what is missing, builds, starts ZooKeeper and three brokers, sends the
# Debian package index through a replicated topic and back, compares, has a consumer group read it, and stops everything.
#   quickstart.sh          as told
#   quickstart.sh --keep   leaves the cluster up and says how to stop it
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
keep=no
case "${1:-}" in
  "") ;;
  --keep) keep=yes ;;
  -h|--help) sed -n '2,5s/^# \{0,3\}//p' "$0"; exit 0 ;;
  *) sed -n '2,5s/^# \{0,3\}//p' "$0" >&2; exit 2 ;;
esac

dir='' child='' completed=no keep_files=no
say() { printf '\n== %s\n' "$*"; }
now() { date +%s%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN {printf "%.2f", (b - a) / 1e9}'; }

# Runs a step as a process group of its own, so that an interrupt ends it at once and whole: bash runs traps only
# while it waits, not while a foreground program runs.
run() {
  local status=0
  set -m
  "$@" <&0 &
  child=$!
  set +m
  wait "$child" || status=$?
  child=''
  return "$status"
}

# However this ends, no process is left behind, unless the whole was done and is to be kept.
finish() {
  local status=$?
  trap - EXIT INT TERM HUP
  if [ -n "$child" ]; then
    kill -TERM -- "-$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
  if [ -n "$dir" ] && { [ "$keep" = no ] || [ "$completed" = no ]; }; then
    "$here/cluster.sh" stop --dir "$dir" >/dev/null 2>&1 || true
    if [ "$keep_files" = yes ]; then echo "the files are kept in $dir" >&2; else rm -rf "$dir"; fi
  fi
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

say "Installing what is missing and building"
"$here/dependencies.sh"  # in the foreground: sudo may ask for a password
cd "$root"
[ -f build/release/build.ninja ] || run cmake --preset release >/dev/null
run cmake --build --preset release --target tidemark
bin=$root/build/release/bin

dir=$(mktemp -d -t tidemark-quickstart-XXXXXX)
say "Starting ZooKeeper and three brokers in $dir"
started=$(now)
run "$here/cluster.sh" start --dir "$dir" --brokers 3 --bin "$bin"
bootstrap=$(cat "$dir/bootstrap")
tool() { local name=$1; shift; "$bin/tidemark-$name" --bootstrap-server "$bootstrap" "$@"; }
tab=$'\t'

run tool topics --create --topic packages --partitions 3 --replication-factor 3
echo hello >"$dir/hello"
produce_hello() { tool console-producer --topic packages <"$dir/hello"; }
consume_hello() { tool console-consumer --topic packages --from-beginning --max-messages 1 2>/dev/null; }
run produce_hello
run consume_hello
echo "from built programs to the first consumed record: $(since "$started") s"

say "A real stream: the Debian package index, one record per package, keyed by its name"
stanzas() {
  apt-cache dumpavail 2>/dev/null | awk 'BEGIN {RS = ""; FS = "\n"} /^Package: / {
    key = substr($1, 10); gsub(/\\/, "\\\\"); gsub(/\n/, "\\n"); gsub(/\t/, "\\t"); print key "\t" $0}' >"$dir/input"
}
run stanzas
if [ "$(wc -l <"$dir/input")" -lt 10000 ]; then
  # A fresh system has no index yet.
  if [ "$(id -u)" -eq 0 ]; then apt-get update -qq || true; else sudo apt-get update -qq || true; fi
  run stanzas
fi
sent=$(wc -l <"$dir/input")
bytes=$(wc -c <"$dir/input")
[ "$sent" -gt 0 ] || { echo "error: this machine's package index is empty (apt-cache dumpavail)" >&2; exit 1; }

rate() {
  awk -v n="$1" -v b="$bytes" -v s="$2" 'BEGIN {if (s == 0) s = 0.01
    printf "%d records in %.2f s: %.0f records/s, %.1f MB/s", n, s, n / s, b / 1e6 / s}'
}
produce() {
  tool console-producer --topic packages --producer-property acks=all \
    --property parse.key=true --property "key.separator=$tab" <"$dir/input"
}
consume() {  # the greeting has no key
  tool console-consumer --topic packages --from-beginning --max-messages $((sent + 1)) --timeout-ms 20000 \
    --property print.key=true --property "key.separator=$tab" 2>"$dir/consumer.log" |
    grep -av "^null${tab}hello\$" >"$dir/output"
}
begun=$(now)
run produce
echo "produced with acks=all: $(rate "$sent" "$(since "$begun")")"
begun=$(now)
run consume || { cat "$dir/consumer.log" >&2; exit 1; }
echo "consumed:               $(rate "$(wc -l <"$dir/output")" "$(since "$begun")")"
if ! cmp -s <(LC_ALL=C sort "$dir/input") <(LC_ALL=C sort "$dir/output"); then
  echo "error: what was consumed is not what was produced; compare $dir/input and $dir/output" >&2
  keep_files=yes
  exit 1
fi
echo "what came back is what went in, byte for byte"

say "A consumer group: two members share the partitions, and the group knows how far it is"
reader=("$bin/tidemark-console-consumer" --bootstrap-server "$bootstrap" --topic packages --group readers --from-beginning)
join() {  # both read until the group has caught up; each commits what it printed and leaves
  local last=0 now_read=-1
  first='' second=''
  trap 'kill -TERM $first $second 2>/dev/null || true' EXIT  # of the subshell that runs this step
  "${reader[@]}" >"$dir/member-1" 2>>"$dir/members.log" &
  first=$!
  "${reader[@]}" >"$dir/member-2" 2>>"$dir/members.log" &
  second=$!
  until [ "$now_read" = "$last" ] && [ "$last" -gt "$sent" ]; do
    last=$now_read
    sleep 1
    now_read=$(cat "$dir/member-1" "$dir/member-2" | wc -l)
    if ! kill -0 "$first" "$second" 2>/dev/null; then
      cat "$dir/members.log" >&2
      return 1
    fi
  done
  tool consumer-groups --describe --group readers --members
  kill -TERM "$first" "$second"
  wait "$first"
  wait "$second"
}
run join
run produce_hello
run tool consumer-groups --describe --group readers
echo "(the lag is the greeting that was sent after the members had left)"

say "The topic"
run tool topics --describe --topic packages

say "Summary"
run "$here/cluster.sh" status --dir "$dir"
completed=yes
if [ "$keep" = yes ]; then
  cat <<SUMMARY

The cluster is up; clients connect to $bootstrap. Try:
  export PATH=$bin:\$PATH
  tidemark-topics --bootstrap-server $bootstrap --list
  tidemark-console-producer --bootstrap-server $bootstrap --topic packages
  tidemark-console-consumer --bootstrap-server $bootstrap --topic packages --from-beginning --max-messages 10
  tidemark-console-consumer --bootstrap-server $bootstrap --topic packages --group readers
  tidemark-consumer-groups --bootstrap-server $bootstrap --describe --group readers
  tidemark-consumer-groups --bootstrap-server $bootstrap --group readers --reset-offsets --to-earliest --topic packages --execute
  $here/cluster.sh kill 1 --dir $dir      # then look at tidemark-topics --describe; restart 1 brings it back
To stop it:
  $here/cluster.sh stop --dir $dir && rm -rf $dir
SUMMARY
else
  run "$here/cluster.sh" stop --dir "$dir"
  cat <<SUMMARY

All is stopped now. To have a cluster of your own:
  export PATH=$bin:\$PATH
  $here/cluster.sh start --dir /tmp/tidemark      # says where the brokers listen
  tidemark-topics --bootstrap-server HOST:PORT --create --topic orders --partitions 3 --replication-factor 3
  tidemark-console-producer --bootstrap-server HOST:PORT --topic orders
  tidemark-console-consumer --bootstrap-server HOST:PORT --topic orders --from-beginning
  tidemark-console-consumer --bootstrap-server HOST:PORT --topic orders --group readers
  tidemark-consumer-groups --bootstrap-server HOST:PORT --describe --group readers
  $here/cluster.sh stop --dir /tmp/tidemark
SUMMARY
fi
