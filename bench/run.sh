#!/usr/bin/env bash
# The figures of the data path in one run: the micro benchmarks, then real brokers against a bare program that moves the same
# bytes through the same sockets and files (bench/raw_path.cc). Prints a table of ratios. Under 4 minutes once built.
# Start, recovery, durability, many partitions and groups have programs of their own: bench/README.md.
#   bench/run.sh                as told
#   bench/run.sh --no-micro     real brokers only
#   bench/run.sh --micro        micro benchmarks only
#   bench/run.sh --mib N        so many MiB per run (default 512)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
micro=yes system=yes mib=512 rounds=3 partitions=6
while [ $# -gt 0 ]; do
  case "$1" in
    --no-micro) micro=; shift ;;
    --micro) system=; shift ;;
    --mib) mib=${2:?}; shift 2 ;;
    *) sed -n '5,8s/^# \{0,3\}//p' "$0" >&2; exit 2 ;;
  esac
done
[[ "$mib" =~ ^[1-9][0-9]*$ ]] || { echo "error: --mib takes a number of MiB" >&2; exit 2; }
records=$((mib * 1024))
bytes=$((mib * 1024 * 1024))

say() { printf '\n== %s\n' "$*"; }
now() { date +%s%N; }

say "Installing what is missing and building"
"$root/deploy/dependencies.sh"
cd "$root"
cmake --preset release >/dev/null
cmake --build --preset release --target tidemark raw_path record_benchmark log_benchmark compaction_benchmark rpc_benchmark
bin=$root/build/release/bin

dir=$(mktemp -d -t tidemark-bench-XXXXXX)
extra=  # pid of the broker that is started here
cleanup() {
  trap - EXIT INT TERM HUP
  if [ -n "$extra" ] && kill -0 "$extra" 2>/dev/null; then kill -9 "$extra" 2>/dev/null || true; fi
  local cluster
  for cluster in one three; do
    [ -d "$dir/$cluster" ] && "$root/deploy/cluster.sh" stop --dir "$dir/$cluster" >/dev/null 2>&1 || true
  done
  rm -rf "$dir"
  exit "$1"
}
trap 'cleanup $?' EXIT
trap 'cleanup 130' INT
trap 'cleanup 143' TERM HUP

# Figures are collected as lines "name|Tidemark|bare path|ratio|aim|met or missed".
table=$dir/table
: > "$table"
median() { sort -g | awk '{v[NR] = $1} END {if (NR == 0) exit 1; print v[int((NR + 1) / 2)]}'; }
# name, Tidemark's figure, the bare one, unit, aim as ">= 0.3" or "<= 2.5"
row() {
  awk -v name="$1" -v a="$2" -v b="$3" -v unit="$4" -v aim="$5" 'BEGIN {
    ratio = b > 0 ? a / b : 0; split(aim, w, " ")
    met = w[1] == ">=" ? ratio >= w[2] : ratio <= w[2]
    printf "%s|%.1f %s|%.1f %s|%.2f|%s|%s\n", name, a, unit, b, unit, ratio, aim, met ? "met" : "missed"}' >> "$table"
}
# name, figure, unit, most
limit() {
  awk -v name="$1" -v a="$2" -v unit="$3" -v most="$4" 'BEGIN {
    printf "%s|%.1f %s|||<= %s %s|%s\n", name, a, unit, most, unit, a <= most ? "met" : "missed"}' >> "$table"
}

# The perf tools' "MB" are MiB; figures here are in 10^6 bytes.
mb_of() { sed -nE 's/.*\(([0-9.]+) MB\/sec\).*/\1/p' | tail -1 | awk '{printf "%.1f\n", $1 * 1.048576}'; }
raw_of() { sed -nE "s|.*$1=([0-9.]+).*|\1|p"; }
ms_of_p50() { sed -nE 's/.* ([0-9.]+) ms 50th.*/\1/p' | tail -1; }
tool() { timeout 100 "$bin/tidemark-$1" "${@:2}"; }
# Runs a step and keeps its words for the case that no figure comes out of it.
run() { "$@" > "$dir/out" 2> "$dir/err" || { echo "error: failed: $*" >&2; tail -5 "$dir/out" "$dir/err" >&2; exit 1; }; cat "$dir/out"; }

topic() {  # name, partitions, replicas, further configs
  run tool topics --bootstrap-server "$bootstrap" --create --topic "$1" --partitions "$2" --replication-factor "$3" \
    --config ack.durability=replicated "${@:4}" >/dev/null
}
drop() { run tool topics --bootstrap-server "$bootstrap" --delete --topic "$1" >/dev/null; }

produce() {  # topic, acks: MB/s
  run tool producer-perf-test --topic "$1" --num-records "$records" --record-size 1024 --throughput -1 --producer-props \
    "bootstrap.servers=$bootstrap" "acks=$2" batch.size=65536 linger.ms=10 compression.type=none | mb_of
}
consume() { run tool consumer-perf-test --bootstrap-server "$bootstrap" --topic "$1" --messages "$records" | mb_of; }
raw_produce() { run timeout 100 "$bin/raw_path" produce --replicas "$1" --batch 65536 --bytes "$bytes" --dir "$dir/raw" | raw_of MB/s; }
raw_consume() { run timeout 100 "$bin/raw_path" consume --batch 65536 --bytes "$bytes" --dir "$dir/raw" | raw_of MB/s; }
mkdir "$dir/raw"

start_cluster() {  # name, brokers
  say "Starting ZooKeeper and $2 broker(s)"
  "$root/deploy/cluster.sh" start --dir "$dir/$1" --brokers "$2" --bin "$bin"
  bootstrap=$(cat "$dir/$1/bootstrap")
}
stop_cluster() { "$root/deploy/cluster.sh" stop --dir "$dir/$1" >/dev/null; rm -rf "${dir:?}/$1"; }

ticks_of() { awk '{sub(/.*\) /, ""); print $12 + $13}' "/proc/$1/stat"; }
rss_of() { awk '/^VmRSS/ {print $2 / 1024}' "/proc/$1/status"; }

free_port() {
  /usr/bin/python3 -c 'import random, socket
while True:
    with socket.socket() as s:
        port = random.randint(10000, 32000)
        try: s.bind(("127.0.0.1", port))
        except OSError: continue
        print(port)
        break'
}

# A broker of its own on the first cluster's ZooKeeper: milliseconds from its spawning to its ready line.
start_time() {
  local folder=$dir/extra started line
  rm -rf "$folder"; mkdir "$folder"; mkfifo "$folder/lines"
  cat > "$folder/server.properties" <<P
broker.id=100
listeners=PLAINTEXT://127.0.0.1:$(free_port)
log.dirs=$folder/data
zookeeper.connect=$(cat "$dir/one/zookeeper.connect")
P
  started=$(now)
  "$bin/tidemark-server-start" "$folder/server.properties" </dev/null > "$folder/lines" 2>&1 &
  extra=$!
  exec 9< "$folder/lines"
  ready=
  while read -r -t 30 -u 9 line; do
    if [[ "$line" == "tidemark broker "*" ready "* ]]; then ready=$(now); break; fi
  done
  [ -n "$ready" ] || { echo "error: the broker was not ready within 30 s" >&2; exit 1; }
  cat <&9 >/dev/null & # what it says further must not block it
  local reader=$!
  exec 9<&-
  kill "$extra"; wait "$extra" || true
  wait "$reader" || true
  extra=
  start_ms=$(awk -v a="$started" -v b="$ready" 'BEGIN {printf "%.1f", (b - a) / 1e6}')
}

idle_figures() {
  say "An idle broker: memory, processor time, start"
  local pid before after
  pid=$(cat "$dir/one/broker-0/pid")
  before=$(ticks_of "$pid"); sleep 10; after=$(ticks_of "$pid")
  limit "idle broker, memory (VmRSS)" "$(rss_of "$pid")" MiB 30
  limit "idle broker, CPU over 10 s" "$(awk -v t=$((after - before)) -v hz="$(getconf CLK_TCK)" 'BEGIN {print t * 1000 / hz}')" ms 10
  local round
  for round in $(seq "$rounds"); do start_time; echo "$start_ms" >> "$dir/starts"; done
  limit "from spawn to the ready line" "$(median < "$dir/starts")" ms 200
}

# A section begins no further round after a minute, so that a slow machine or build does not take for ever.
in_time() { [ $((SECONDS - section)) -lt 60 ]; }

one_broker_figures() {
  local round section=$SECONDS
  for round in $(seq "$rounds"); do
    say "One broker, acks=1: produce and consume $mib MiB, round $round of $rounds"
    topic "load$round" "$partitions" 1
    produce "load$round" 1 | tee -a "$dir/p1"
    consume "load$round" | tee -a "$dir/c1"
    raw_produce 1 | tee -a "$dir/rp1"
    raw_consume | tee -a "$dir/rc1"
    drop "load$round"; rm -f "$dir"/raw/*
    in_time || break
  done
  row "produce 1 KiB records, acks=1, 1 replica" "$(median < "$dir/p1")" "$(median < "$dir/rp1")" MB/s ">= 0.3"
  row "consume from page cache" "$(median < "$dir/c1")" "$(median < "$dir/rc1")" MB/s ">= 0.3"
}

round_trip_figures() {
  say "Round trips: one record under way"
  topic ping 1 1
  local round
  # A record every 2 ms is acknowledged before the next one is sent, so each is a batch and a request of its own.
  for round in $(seq "$rounds"); do
    run tool producer-perf-test --topic ping --num-records 2000 --record-size 100 --throughput 500 --producer-props \
      "bootstrap.servers=$bootstrap" acks=1 batch.size=0 linger.ms=0 | ms_of_p50 | awk '{print $1 * 1000}' | tee -a "$dir/ping"
    run timeout 60 "$bin/raw_path" echo --count 20000 | raw_of p50_us | tee -a "$dir/echo"
  done
  row "round trip, acks=1, p50" "$(median < "$dir/ping")" "$(median < "$dir/echo")" us "<= 2.5"
}

three_broker_figures() {
  local round section=$SECONDS
  for round in $(seq "$rounds"); do
    say "Three brokers, acks=all, 3 replicas: produce $mib MiB, round $round of $rounds"
    topic "load$round" "$partitions" 3
    produce "load$round" all | tee -a "$dir/p3"
    raw_produce 3 | tee -a "$dir/rp3"
    drop "load$round"; rm -f "$dir"/raw/*
    in_time || break
  done
  row "produce 1 KiB records, acks=all, 3 replicas" "$(median < "$dir/p3")" "$(median < "$dir/rp3")" MB/s ">= 0.3"
}

if [ -n "$micro" ]; then
  for program in record log compaction rpc; do
    say "${program}_benchmark"
    TMPDIR=$dir timeout 120 "$bin/${program}_benchmark" --benchmark_min_time=0.1 2>/dev/null
  done
fi
if [ -n "$system" ]; then
  begun=$SECONDS
  start_cluster one 1
  idle_figures
  one_broker_figures
  round_trip_figures
  stop_cluster one
  start_cluster three 3
  three_broker_figures
  stop_cluster three
  say "Figures of this run: medians of up to $rounds rounds of $mib MiB, $partitions partitions, $(nproc) processors, $((SECONDS - begun)) s"
  { echo "figure|Tidemark|bare path|ratio|aim|met?"; cat "$table"; } | awk -F '|' '
    {for (i = 1; i <= 6; i++) {cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i)}}
    END {for (r = 1; r <= NR; r++) {line = "|"; for (i = 1; i <= 6; i++) line = line sprintf(" %-*s |", width[i], cell[r, i]); print line
      if (r == 1) {line = "|"; for (i = 1; i <= 6; i++) {bar = sprintf("%*s", width[i] + 2, ""); gsub(/ /, "-", bar); line = line bar "|"}; print line}}}'
fi
