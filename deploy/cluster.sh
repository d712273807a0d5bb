#!/usr/bin/env bash
# A local cluster: ZooKeeper and N brokers on loopback, with all their data under one directory.
#   cluster.sh start  --dir DIR [--brokers N] [--zookeeper CONNECT] [--config k=v]... [--bin DIR]
#   cluster.sh status --dir DIR
#   cluster.sh kill|pause|resume|restart N --dir DIR     (SIGKILL, SIGSTOP, SIGCONT, SIGTERM and start)
#   cluster.sh stop   --dir DIR
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

usage() { sed -n '2,6s/^# \{0,3\}//p' "$0" >&2; exit 2; }

command=${1:-}; [ $# -gt 0 ] && shift
number=
case "$command" in kill|pause|resume|restart) number=${1:-}; [[ "$number" =~ ^[0-9]+$ ]] || usage; shift ;; esac
dir= brokers=3 zookeeper= bin=$here/../build/release/bin configs=()
while [ $# -gt 0 ]; do
  case "$1" in
    --dir) dir=${2:?}; shift 2 ;;
    --brokers) brokers=${2:?}; shift 2 ;;
    --zookeeper) zookeeper=${2:?}; shift 2 ;;
    --config) configs+=("${2:?}"); shift 2 ;;
    --bin) bin=${2:?}; shift 2 ;;
    *) echo "error: unknown argument '$1'" >&2; usage ;;
  esac
done
[ -n "$dir" ] || usage
mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
if [ -f "$dir/bin" ] && [ "$command" != start ]; then bin=$(cat "$dir/bin"); fi

folder() { echo "$dir/broker-$1"; }
pid_of() { cat "$(folder "$1")/pid" 2>/dev/null || true; }
alive() { local pid; pid=$(pid_of "$1"); [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }
numbers() { find "$dir" -maxdepth 1 -name 'broker-*' -printf '%f\n' 2>/dev/null | sed 's/broker-//' | sort -n; }
listener() { sed -n 's/^listeners=PLAINTEXT:\/\///p' "$(folder "$1")/server.properties"; }

free_port() {  # outside the range that outgoing connections take their ports from
  /usr/bin/python3 - <<'P'
import random, socket
while True:
    with socket.socket() as s:
        port = random.randint(10000, 32000)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(port)
        break
P
}

configure() {
  local f; f=$(folder "$1")
  mkdir -p "$f"
  [ -f "$f/server.properties" ] || cat > "$f/server.properties" <<P
broker.id=$1
listeners=PLAINTEXT://127.0.0.1:$(free_port)
log.dirs=$f/data
zookeeper.connect=$(cat "$dir/zookeeper.connect")
zookeeper.session.timeout.ms=6000
P
  local config
  for config in "${configs[@]+"${configs[@]}"}"; do echo "$config" >> "$f/server.properties"; done
}

spawn() {  # starts the process; the caller waits for it
  local f; f=$(folder "$1")
  alive "$1" && return
  touch "$f/broker.log"
  wc -c < "$f/broker.log" > "$f/ready.from"
  (cd "$f" && exec setsid "$bin/tidemark-server-start" "$f/server.properties") </dev/null >>"$f/broker.log" 2>&1 &
  echo $! > "$f/pid"
}

ready_line() { tail -c +$(($(cat "$(folder "$1")/ready.from") + 1)) "$(folder "$1")/broker.log" 2>/dev/null | grep -a -m1 "tidemark broker .* ready " || true; }

await() {
  local waited=0
  until [ -n "$(ready_line "$1")" ]; do
    alive "$1" || { echo "error: broker $1 ended; the end of $(folder "$1")/broker.log:" >&2; tail -5 "$(folder "$1")/broker.log" >&2; exit 1; }
    waited=$((waited + 1))
    [ "$waited" -lt 2400 ] || { echo "error: broker $1 is not ready after 60 s; see $(folder "$1")/broker.log" >&2; exit 1; }
    sleep 0.025
  done
}

finish() {  # SIGTERM, then SIGKILL when a minute has passed
  local pid; pid=$(pid_of "$1")
  if alive "$1"; then
    kill -CONT "$pid" 2>/dev/null || true
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 1200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
    kill -9 "$pid" 2>/dev/null || true
  fi
  rm -f "$(folder "$1")/pid"
}

bootstrap() { numbers | while read -r n; do listener "$n"; done | paste -sd,; }

start() {
  [ -x "$bin/tidemark-server-start" ] || { echo "error: no programs in $bin; build first: cmake --preset release && cmake --build --preset release" >&2; exit 1; }
  bin=$(cd "$bin" && pwd)
  echo "$bin" > "$dir/bin"
  if [ -n "$zookeeper" ]; then
    echo "$zookeeper" > "$dir/zookeeper.connect"
  else
    "$here/zookeeper/zookeeper.sh" start --dir "$dir/zookeeper" > "$dir/zookeeper.connect"
  fi
  local n
  for n in $(seq 0 $((brokers - 1))); do configure "$n"; spawn "$n"; done
  for n in $(seq 0 $((brokers - 1))); do await "$n"; done
  bootstrap > "$dir/bootstrap"
  echo "zookeeper: $(cat "$dir/zookeeper.connect")"
  echo "brokers:   $(cat "$dir/bootstrap")"
}

status() {
  [ -d "$dir/zookeeper" ] && { "$here/zookeeper/zookeeper.sh" status --dir "$dir/zookeeper" || true; }
  local n state line
  for n in $(numbers); do
    state=down
    if alive "$n"; then
      state=running
      [ "$(awk '/^State/ {print $2}' "/proc/$(pid_of "$n")/status" 2>/dev/null)" = T ] && state=paused
    fi
    line=$(ready_line "$n")
    printf 'broker %-3s %-8s pid %-8s %-22s %s\n' "$n" "$state" "$(pid_of "$n")" "$(listener "$n")" \
      "$(sed -n 's/.* \(admin=.*\)/\1/p' <<< "$line")"
  done
}

stop() {
  local n
  for n in $(numbers); do finish "$n" & done
  wait
  [ -d "$dir/zookeeper" ] && "$here/zookeeper/zookeeper.sh" stop --dir "$dir/zookeeper"
  return 0
}

need() { alive "$number" || { echo "error: broker $number is not running in $dir" >&2; exit 1; }; }
case "$command" in
  start) start ;;
  status) status ;;
  kill) need; kill -9 "$(pid_of "$number")"; rm -f "$(folder "$number")/pid" ;;
  pause) need; kill -STOP "$(pid_of "$number")" ;;
  resume) need; kill -CONT "$(pid_of "$number")" ;;
  restart) [ -d "$(folder "$number")" ] || usage; finish "$number"; spawn "$number"; await "$number" ;;
  stop) stop ;;
  *) usage ;;
esac
