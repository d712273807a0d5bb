#!/usr/bin/env bash
# The long versions of simulation, fuzzing and chaos: spends the time on them and ends with a summary; not zero when
# something was found. Artifacts of findings are kept, and the summary says where.
#   tests/long.sh MINUTES [--seed S] [--no-build]     S: the first seed of everything (default: the time)
# Simulation: every program build/*/bin/simulation* gets TIDEMARK_SIM_FIRST_SEED and TIDEMARK_SIM_SEEDS (how many seeds
# to run) in its environment, and ends with a status other than zero when one of them fails. What it prints as
# `counts NAME key=value ...` is added up for the summary; the chaos tests print such lines too.
# Chaos: kills under a real stream, power cuts on loop images (TIDEMARK_POWER_CUTS, 100), kills in a loop
# (TIDEMARK_KILLS, 100); each test in turn until the time is over, the counts smaller where the time is short.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '4p' "$0" | sed 's/^# \{0,3\}//' >&2; exit 2; }
minutes=${1:-}
[[ "$minutes" =~ ^[1-9][0-9]*$ ]] || usage
shift
seed=$(date +%s)
build=yes
while [ $# -gt 0 ]; do
  case "$1" in
    --seed) [[ "${2:-}" =~ ^[0-9]+$ ]] || usage; seed=$2; shift 2 ;;
    --no-build) build=no; shift ;;
    *) usage ;;
  esac
done
first_seed=$seed
jobs=$(nproc)
chunk=${TIDEMARK_LONG_CHUNK:-25}  # seeds per start of a simulation program

if [ "$build" = yes ]; then
  deploy/dependencies.sh
  for flavour in release asan fuzz; do
    cmake --preset "$flavour" >/dev/null
    cmake --build --preset "$flavour" -j "$jobs"
  done
fi

findings=$PWD/build/long/$(date +%Y%m%d-%H%M%S)-$seed
work=$(mktemp -d -t tidemark-long-XXXXXX)
mkdir -p "$findings"
found=0
children=()
cleanup() {
  trap - EXIT INT TERM HUP
  local pid
  # Interrupted, not killed: a chaos test stops the processes that it has started.
  for pid in "${children[@]+"${children[@]}"}"; do kill -INT "$pid" 2>/dev/null || true; done
  for pid in "${children[@]+"${children[@]}"}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
  rmdir "$findings" 2>/dev/null || true
  exit "$1"
}
trap 'cleanup $?' EXIT
trap 'cleanup 130' INT
trap 'cleanup 143' TERM HUP

export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1
begun=$SECONDS
say() { printf '== %5d s: %s\n' $((SECONDS - begun)) "$*"; }
left() { echo $(($1 - SECONDS)); }

# Background jobs of a shell ignore SIGINT unless it is given back to them.
spawn() {  # log, command...
  local log=$1; shift
  env --default-signal=INT "$@" > "$log" 2>&1 &
  children+=($!)
}
# `counts NAME key=value ...` lines of the logs, added up by name and key.
counts=$work/counts
: > "$counts"
note_counts() { grep -h '^\.\{0,1\}counts ' "$@" 2>/dev/null | sed 's/^\.//' >> "$counts" || true; }
sum_counts() {
  awk '{ for (i = 3; i <= NF; i++) { split($i, kv, "="); if (kv[1] == "first_seed") continue
           key = $2 SUBSEP kv[1]; if (!(key in sum)) { order[++n] = key }; sum[key] += kv[2] } }
       END { for (i = 1; i <= n; i++) { split(order[i], k, SUBSEP)
               if (k[1] != last) { printf "%s  %-14s", (i > 1 ? "\n" : ""), k[1]; last = k[1] }
               printf " %s=%d", k[2], sum[order[i]] } if (n) print "" }' <(sort -s -k2,2 "$counts")
}
finding() {  # what, log
  found=$((found + 1))
  cp "$2" "$findings/"
  say "FOUND: $1; its log: $findings/$(basename "$2")"
}

# ---- Simulation: chunks of seeds, each program in turn, one process per processor.
seeds_run=0
simulate() {  # until
  local programs=("$@") until=$1 i status
  programs=("${programs[@]:1}")
  local turn=0
  while [ "$(left "$until")" -gt 0 ]; do
    [ "$found" -lt 10 ] || { say "ten findings: no further seeds"; return 0; }
    children=()
    local logs=() names=()
    for ((i = 0; i < jobs; i++)); do
      local program=${programs[$((turn % ${#programs[@]}))]}
      local flavour; flavour=$(basename "$(dirname "$(dirname "$program")")")
      logs+=("$work/$(basename "$program")-$flavour-$seed.log")
      names+=("$(basename "$program") ($flavour), seeds $seed to $((seed + chunk - 1))")
      spawn "${logs[$i]}" TIDEMARK_SIM_FIRST_SEED="$seed" TIDEMARK_SIM_SEEDS="$chunk" "$program"
      seed=$((seed + chunk))
      turn=$((turn + 1))
    done
    for ((i = 0; i < jobs; i++)); do
      status=0; wait "${children[$i]}" || status=$?
      seeds_run=$((seeds_run + chunk))
      note_counts "${logs[$i]}"
      if [ "$status" -ne 0 ]; then finding "${names[$i]}: status $status" "${logs[$i]}"; else rm -f "${logs[$i]}"; fi
    done
    children=()
  done
}

# ---- Fuzzing: each target for its share, as many at a time as there are processors. Leaks are looked for once, at a
# target's end: after every input would take nine tenths of the time of those with whole brokers.
executions=0
fuzz_lines=()
fuzz() {  # seconds for all, targets...
  local seconds=$1; shift
  local targets=("$@") at=0 i status
  local share=$((seconds / ((${#targets[@]} + jobs - 1) / jobs)))
  [ "$share" -gt 0 ] || share=1
  while [ "$at" -lt ${#targets[@]} ]; do
    children=()
    local batch=("${targets[@]:$at:$jobs}") name runs
    for target in "${batch[@]}"; do
      name=$(basename "$target")
      # A copy: what the fuzzer finds interesting stays out of the source tree.
      cp -r "tests/fuzz/corpus/${name#fuzz_}" "$work/corpus-$name" 2>/dev/null || mkdir -p "$work/corpus-$name"
      mkdir -p "$work/artifacts-$name"
      spawn "$work/$name.log" "$target" -max_total_time="$share" -seed=$((first_seed % 2147483647 + 1)) -rss_limit_mb=2048 \
        -detect_leaks=0 -timeout=30 -print_final_stats=1 -artifact_prefix="$work/artifacts-$name/" "$work/corpus-$name"
    done
    for ((i = 0; i < ${#batch[@]}; i++)); do
      name=$(basename "${batch[$i]}")
      status=0; wait "${children[$i]}" || status=$?
      runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$name.log" | tail -1)
      executions=$((executions + ${runs:-0}))
      fuzz_lines+=("$(printf '%-24s %12s executions in %d s, corpus %d -> %d' "$name" "${runs:-?}" "$share" \
        "$(find "tests/fuzz/corpus/${name#fuzz_}" -type f 2>/dev/null | wc -l)" "$(find "$work/corpus-$name" -type f | wc -l)")")
      if [ "$status" -ne 0 ]; then
        finding "$name: status $status" "$work/$name.log"
        mkdir -p "$findings/$name"
        cp "$work/artifacts-$name"/* "$findings/$name/" 2>/dev/null || true
      fi
    done
    at=$((at + jobs))
  done
  children=()
}

# ---- Chaos: real brokers killed, real disks cut off, over and over, one test after the other.
chaos_runs=0 chaos_failed=0 chaos_lines=()
chaos() {  # until
  local status log test skipped
  local tests=(kill_stream power_cut broker_deaths) failures=(0 0 0) runs=(0 0 0) i=0
  # A cut or a kill with everything after it takes about 5 s.
  local each=$(($(left "$1") / 15))
  [ "$each" -le 100 ] || each=100
  [ "$each" -ge 3 ] || each=3
  while [ "$(left "$1")" -gt 0 ]; do
    test=${tests[$i]}
    log=$work/chaos-$test-$chaos_runs.log
    spawn "$log" TIDEMARK_BIN="$PWD/build/release/bin" TIDEMARK_PYTHON="$PWD/build/release/tests/integration/python" \
      TIDEMARK_POWER_CUTS="$each" TIDEMARK_KILLS="$each" TIDEMARK_SEED="$((first_seed + chaos_runs))" \
      /usr/bin/python3 -B "tests/integration/test_$test.py"
    status=0; wait "${children[0]}" || status=$?
    children=()
    chaos_runs=$((chaos_runs + 1))
    runs[$i]=$((runs[i] + 1))
    note_counts "$log"
    skipped=$(sed -n 's/^OK (\(skipped=.*\))$/\1/p' "$log")
    if [ -n "$skipped" ]; then chaos_lines+=("$test: $skipped"); fi
    if [ "$status" -ne 0 ]; then
      chaos_failed=$((chaos_failed + 1))
      failures[$i]=$((failures[i] + 1))
      finding "test_$test: status $status" "$log"
      [ "${failures[$i]}" -lt 3 ] || { say "three failures of test_$test: no further runs"; return 0; }
    fi
    i=$(((i + 1) % ${#tests[@]}))
  done
  for i in 0 1 2; do chaos_lines+=("test_${tests[$i]}: ${runs[$i]} runs, ${failures[$i]} failed"); done
}

shopt -s nullglob
simulations=(build/release/bin/simulation* build/asan/bin/simulation*)
targets=(build/fuzz/bin/fuzz_*)
total=$((minutes * 60))
# The simulation finds most per second; without its programs its time goes to the others.
simulation_share=$((total * 45 / 100))
[ ${#simulations[@]} -gt 0 ] || simulation_share=0
rest=$((total - simulation_share))

say "seed $first_seed: $simulation_share s of simulation, $((rest / 2)) s of fuzzing, $((rest - rest / 2)) s of chaos"
if [ ${#simulations[@]} -gt 0 ]; then simulate $((SECONDS + simulation_share)) "${simulations[@]}"; fi
say "simulation done: $seeds_run seeds"
if [ ${#targets[@]} -gt 0 ]; then fuzz $((rest / 2)) "${targets[@]}"; fi
say "fuzzing done: $executions executions"
chaos $((begun + total))
say "chaos done: $chaos_runs runs"

cat <<S

Summary of $((SECONDS - begun)) s, seed $first_seed
  simulation   $seeds_run seeds from $first_seed on, ${#simulations[@]} programs
  fuzzing      $executions executions, ${#targets[@]} targets
$(printf '                 %s\n' "${fuzz_lines[@]+"${fuzz_lines[@]}"}")
  chaos        $chaos_runs runs, $chaos_failed failed
$(printf '                 %s\n' "${chaos_lines[@]+"${chaos_lines[@]}"}")
$(sum_counts)
  findings     $found
S
if [ ${#simulations[@]} -eq 0 ]; then echo "  note: no program build/*/bin/simulation* was built, so nothing was simulated"; fi
if [ "$found" -gt 0 ]; then
  echo "  kept in $findings"
  exit 1
fi
