#!/usr/bin/env bash
# A local cluster: ZooKeeper and N brokers on loopback, with all their data under one directory.
set -euo pipefail
usage() {
  cat <<'USAGE'
usage: cluster.sh start --dir DIR [--brokers N] [--zookeeper CONNECT] [--config k=v]... [--bin DIR]
       cluster.sh status|stop --dir DIR
       cluster.sh kill|pause|resume|restart N --dir DIR
  start    starts what does not run yet and waits until all brokers serve; prints where they listen
  status   a line for each process: state, pid, listener, admin address, partitions led
  kill     SIGKILL to broker N; pause: SIGSTOP; resume: SIGCONT
  restart  SIGTERM to broker N (nothing if it is dead), then starts it again
  stop     ends all brokers, then ZooKeeper if it was started here; the data stays
  --brokers N          how many (default 3), with the ids 0 to N-1
  --zookeeper CONNECT  uses this ZooKeeper instead of starting one under DIR
  --config k=v         a config for every broker, kept for later starts and restarts; may be repeated
  --bin DIR            the programs (default: build/release/bin)
DIR/bootstrap and DIR/zookeeper.connect say where clients connect; DIR/broker-N holds server.properties, broker.log
and data.
USAGE
}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"

command=${1:-} number=''
case $command in
  start|status|stop) shift ;;
  kill|pause|resume|restart)
    number=${2:-}
    [[ $number =~ ^[0-9]+$ ]] || { echo "cluster.sh: $command needs the id of a broker" >&2; usage >&2; exit 2; }
    shift 2 ;;
  -h|--help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac
dir='' brokers=3 zookeeper='' bin='' configs=()
while [ $# -gt 0 ]; do
  case $1 in
    --dir) need_value "$@" "${2:-}"; dir=$2; shift 2 ;;
    --brokers) need_value "$@" "${2:-}"; brokers=$2; shift 2 ;;
    --zookeeper) need_value "$@" "${2:-}"; zookeeper=$2; shift 2 ;;
    --config) need_value "$@" "${2:-}"; configs+=("$2"); shift 2 ;;
    --bin) need_value "$@" "${2:-}"; bin=$2; shift 2 ;;
    *) echo "cluster.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
  esac
done
[ -n "$dir" ] || { echo "cluster.sh: --dir is missing" >&2; usage >&2; exit 2; }
[[ $brokers =~ ^[1-9][0-9]*$ ]] || fail "--brokers '$brokers' is not a number from 1 on"
for config in "${configs[@]}"; do [[ $config == ?*=* ]] || fail "--config '$config' is not name=value"; done
if [ "$command" = start ]; then mkdir -p "$dir"; fi
[ -d "$dir" ] || fail "there is no cluster in $dir"
dir=$(cd "$dir" && pwd)

folder() { echo "$dir/broker-$1"; }
# The broker's pid, if it lives.
broker_pid() {
  local pid
  pid=$(pid_of "$(folder "$1")/pid" "$(folder "$1")/server.properties") && process_lives "$pid" && echo "$pid"
}
numbers() { find "$dir" -maxdepth 1 -name 'broker-*' -printf '%f\n' | sed 's/^broker-//' | sort -n; }
listener() { sed -n 's/^listeners=PLAINTEXT:\/\///p' "$(folder "$1")/server.properties"; }
stored_bin() { cat "$dir/bin" 2>/dev/null || true; }

# The line with which the broker's present life said that it serves.
ready_line() {
  local from
  from=$(cat "$(folder "$1")/ready.from" 2>/dev/null) || return 1
  # Not a pipe: grep ends at its match, tail of SIGPIPE, and under pipefail that would count as no match.
  grep -a -m 1 'tidemark broker .* ready .*admin=' < <(tail -c +$((from + 1)) "$(folder "$1")/broker.log")
}

# Writes the broker's properties once, so that it keeps its port over restarts.
configure() {
  local used n port
  [ -f "$(folder "$1")/server.properties" ] && return
  mkdir -p "$(folder "$1")"
  used=()
  for n in $(numbers); do
    if [ -f "$(folder "$n")/server.properties" ]; then used+=("$(listener "$n" | sed 's/.*://')"); fi
  done
  port=$(free_port "${used[@]}")
  cat >"$(folder "$1")/server.properties" <<PROPERTIES
broker.id=$1
listeners=PLAINTEXT://127.0.0.1:$port
log.dirs=$(folder "$1")/data
zookeeper.connect=$(cat "$dir/zookeeper.connect")
zookeeper.session.timeout.ms=6000
offsets.topic.replication.factor=$((brokers < 3 ? brokers : 3))
PROPERTIES
}

# Starts the process in a session of its own, so that a terminal's Ctrl-C does not reach it; await waits for it.
spawn() {
  local f overrides=() line
  broker_pid "$1" >/dev/null && return
  f=$(folder "$1")
  while IFS= read -r line; do overrides+=(--override "$line"); done < <(cat "$dir/overrides" 2>/dev/null)
  touch "$f/broker.log"
  stat -c %s "$f/broker.log" >"$f/ready.from"
  (cd "$f" && exec setsid "$bin/tidemark-server-start" "$f/server.properties" "${overrides[@]}") \
    </dev/null >>"$f/broker.log" 2>&1 &
  echo $! >"$f/pid"
}

await() {
  local f pid deadline=$((SECONDS + 60))
  f=$(folder "$1")
  pid=$(cat "$f/pid")
  until ready_line "$1" >/dev/null; do
    if ! process_lives "$pid"; then
      tail -n 5 "$f/broker.log" >&2
      fail "broker $1 ended before it served; its log is $f/broker.log"
    fi
    [ "$SECONDS" -lt "$deadline" ] || fail "broker $1 does not serve after 60 s; its log is $f/broker.log"
    sleep 0.02
  done
}

# Asks the broker to end (controlled shutdown), insists after a minute.
finish() {
  local pid
  if pid=$(broker_pid "$1"); then end_process "$pid" 60; fi
  rm -f "$(folder "$1")/pid"
}

stop_all() {
  local n
  for n in $(numbers); do finish "$n" & done
  wait
  if [ -d "$dir/zookeeper" ]; then "$here/zookeeper/zookeeper.sh" stop --dir "$dir/zookeeper"; fi
}

start() {
  local n was_up=no
  if [ -z "$bin" ]; then bin=$(stored_bin); fi
  if [ -z "$bin" ]; then bin=$here/../build/release/bin; fi
  [ -x "$bin/tidemark-server-start" ] ||
    fail "no programs in $bin; build them: cmake --preset release && cmake --build --preset release"
  bin=$(cd "$bin" && pwd)
  echo "$bin" >"$dir/bin"
  if [ ${#configs[@]} -gt 0 ]; then printf '%s\n' "${configs[@]}" >"$dir/overrides"; fi
  for n in $(numbers); do if broker_pid "$n" >/dev/null; then was_up=yes; fi; done
  # A start that fails or is interrupted leaves nothing behind; but what ran before it goes on.
  if [ "$was_up" = no ]; then trap 'trap - EXIT; stop_all' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM HUP; fi
  if [ -n "$zookeeper" ]; then
    echo "$zookeeper" >"$dir/zookeeper.connect"
  elif [ -d "$dir/zookeeper" ] || [ ! -f "$dir/zookeeper.connect" ]; then
    "$here/zookeeper/zookeeper.sh" start --dir "$dir/zookeeper" >"$dir/zookeeper.connect"
  fi
  for ((n = 0; n < brokers; ++n)); do configure "$n"; spawn "$n"; done
  for ((n = 0; n < brokers; ++n)); do await "$n"; done
  trap - EXIT INT TERM HUP
  numbers | while read -r n; do listener "$n"; done | paste -sd, >"$dir/bootstrap"
  echo "zookeeper: $(cat "$dir/zookeeper.connect")"
  echo "brokers:   $(cat "$dir/bootstrap")"
}

# Prints how many partitions the broker leads, by its metrics; "-" when it does not say.
partitions_led() {
  local host=${1%:*} port=${1##*:} line
  { exec 3<>"/dev/tcp/$host/$port"; } 2>/dev/null || { echo -; return; }
  printf 'GET /metrics HTTP/1.0\r\nHost: %s\r\n\r\n' "$host" >&3
  while IFS= read -r -t 2 line <&3; do
    if [[ $line == 'tidemark_partitions{role="leader"} '* ]]; then
      exec 3>&-
      line=${line##* }
      echo "${line%$'\r'}"
      return
    fi
  done
  exec 3>&-
  echo -
}

status() {
  local n pid state admin led
  if [ -d "$dir/zookeeper" ]; then
    "$here/zookeeper/zookeeper.sh" status --dir "$dir/zookeeper" | sed 's/^/zookeeper /' || true
  fi
  printf '%-7s %-8s %-8s %-22s %-22s %s\n' broker state pid listener admin leads
  for n in $(numbers); do
    state=down pid=- admin=- led=-
    if pid=$(broker_pid "$n"); then
      state=running
      if [ "$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$pid/status")" = T ]; then state=paused; fi
      admin=$(ready_line "$n" | sed 's/.*admin=//') || admin=-
      if [ "$state" = running ] && [[ $admin == *:* ]]; then led=$(partitions_led "$admin"); fi
    else
      pid=-
    fi
    printf '%-7s %-8s %-8s %-22s %-22s %s\n' "$n" "$state" "$pid" "$(listener "$n")" "${admin:--}" "$led"
  done
}

# Sets pid to that of the broker in question, which must live.
need_broker() { pid=$(broker_pid "$number") || fail "broker $number is not running in $dir"; }

case $command in
  start) start ;;
  status) status ;;
  stop) stop_all ;;
  kill) need_broker; kill -KILL "$pid"; wait_gone "$pid" 10 || fail "broker $number (pid $pid) does not die"
        rm -f "$(folder "$number")/pid" ;;
  pause) need_broker; kill -STOP "$pid" ;;
  resume) need_broker; kill -CONT "$pid" ;;
  restart)
    [ -f "$(folder "$number")/server.properties" ] || fail "there is no broker $number in $dir"
    if [ -z "$bin" ]; then bin=$(stored_bin); fi
    [ -x "$bin/tidemark-server-start" ] || fail "no programs in '$bin'"
    finish "$number"; spawn "$number"; await "$number" ;;
esac
