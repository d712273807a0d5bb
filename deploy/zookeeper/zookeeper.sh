#!/usr/bin/env bash
# A ZooKeeper on this host from Debian's jars, as an ordinary user, on loopback only: for development and tests.
set -euo pipefail
usage() {
  cat <<'USAGE'
usage: zookeeper.sh start|stop|status [--dir DIR] [--port P] [--ensemble] [--tick-time MS]
  start         starts it (or does nothing when it runs) and prints the connect string, also kept in DIR/connect
  stop          ends it by its pid; its data stays
  status        prints what runs; exit status 0 when all members serve, 1 otherwise
  --dir DIR     configuration, data, log and pid (default: ~/.local/state/tidemark/zookeeper)
  --port P      client port (default: a free one, kept over restarts); an ensemble uses P, P+1, P+2
  --ensemble    three members instead of one
  --tick-time   milliseconds (default 500); session timeouts may be from 2 ticks to 60 s
USAGE
}
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

command=${1:-}
case $command in
  start|stop|status) shift ;;
  -h|--help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac
dir=${XDG_STATE_HOME:-$HOME/.local/state}/tidemark/zookeeper
fixed_port='' members=1 tick=500
while [ $# -gt 0 ]; do
  case $1 in
    --dir) need_value "$@" "${2:-}"; dir=$2; shift 2 ;;
    --port) need_value "$@" "${2:-}"; fixed_port=$2; shift 2 ;;
    --tick-time) need_value "$@" "${2:-}"; tick=$2; shift 2 ;;
    --ensemble) members=3; shift ;;
    -h|--help) usage; exit 0 ;;
    *) echo "zookeeper.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
  esac
done
[[ $tick =~ ^[1-9][0-9]*$ ]] || fail "--tick-time '$tick' is not a number of milliseconds"
[[ $fixed_port =~ ^[0-9]*$ ]] || fail "--port '$fixed_port' is not a port"

jars=/usr/share/java
class_path=$jars/zookeeper.jar:$jars/slf4j-log4j12.jar:$jars/log4j-1.2.jar

member_count() { [ -r "$dir/members" ] && cat "$dir/members" || echo "$members"; }
member_dir() { echo "$dir/member-$1"; }
member_pid() { pid_of "$(member_dir "$1")/pid" "$(member_dir "$1")/zoo.cfg"; }
client_port() { sed -n 's/^clientPort=//p' "$(member_dir "$1")/zoo.cfg" 2>/dev/null; }

# Prints the member's mode (standalone, leader, follower) once it serves. `ruok` answers before that.
member_mode() {
  local port line
  port=$(client_port "$1")
  [ -n "$port" ] || return 1
  exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
  printf srvr >&3
  while read -r -t 2 line <&3; do
    [[ $line == Mode:* ]] && { echo "${line#Mode: }"; exec 3>&-; return 0; }
  done
  exec 3>&-
  return 1
} 2>/dev/null

# Chooses the ports of all members: "client quorum election" a line.
choose_ports() {
  local member used=() client quorum election
  for ((member = 1; member <= members; ++member)); do
    if [ -n "$fixed_port" ]; then client=$((fixed_port + member - 1)); else client=$(free_port "${used[@]}"); fi
    used+=("$client")
    quorum=$(free_port "${used[@]}"); used+=("$quorum")
    election=$(free_port "${used[@]}"); used+=("$election")
    echo "$client $quorum $election"
  done
}

write_configuration() {
  local member ports=() client quorum election servers='' connect=''
  mapfile -t ports < <(choose_ports)
  [ "${#ports[@]}" = "$members" ] || exit 1
  for ((member = 1; member <= members; ++member)); do
    read -r client quorum election <<<"${ports[member - 1]}"
    servers+="server.$member=127.0.0.1:$quorum:$election"$'\n'
    connect+="${connect:+,}127.0.0.1:$client"
  done
  for ((member = 1; member <= members; ++member)); do
    read -r client _ _ <<<"${ports[member - 1]}"
    local folder; folder=$(member_dir "$member")
    mkdir -p "$folder/data"
    echo "$member" >"$folder/data/myid"
    cat >"$folder/zoo.cfg" <<CONFIG
tickTime=$tick
initLimit=20
syncLimit=10
dataDir=$folder/data
clientPort=$client
clientPortAddress=127.0.0.1
maxClientCnxns=0
minSessionTimeout=$((2 * tick))
maxSessionTimeout=60000
admin.enableServer=false
4lw.commands.whitelist=srvr,mntr,ruok
autopurge.snapRetainCount=3
autopurge.purgeInterval=1
CONFIG
    if [ "$members" -gt 1 ]; then printf '%s' "$servers" >>"$folder/zoo.cfg"; fi
    cat >"$folder/log4j.properties" <<'LOG'
log4j.rootLogger=WARN, A
log4j.appender.A=org.apache.log4j.ConsoleAppender
log4j.appender.A.layout=org.apache.log4j.PatternLayout
log4j.appender.A.layout.ConversionPattern=%d{ISO8601} %p %c %m%n
LOG
  done
  echo "$members" >"$dir/members"
  echo "$connect" >"$dir/connect"
}

start_member() {
  local folder; folder=$(member_dir "$1")
  setsid java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dzookeeper.extendedTypesEnabled=true \
    -cp "$folder:$class_path" org.apache.zookeeper.server.quorum.QuorumPeerMain "$folder/zoo.cfg" \
    </dev/null >>"$folder/zookeeper.log" 2>&1 &
  echo $! >"$folder/pid"
}

# Waits until all members serve; 1 when one has ended, 2 when it takes too long.
wait_serving() {
  local member deadline=$((SECONDS + 120))
  for ((member = 1; member <= members; ++member)); do
    until member_mode "$member" >/dev/null; do
      process_lives "$(cat "$(member_dir "$member")/pid")" || return 1
      [ "$SECONDS" -lt "$deadline" ] || return 2
      sleep 0.02
    done
  done
}

stop_members() {
  local member pid pids=()
  for ((member = 1; member <= $(member_count); ++member)); do
    if pid=$(member_pid "$member"); then
      kill -TERM "$pid" 2>/dev/null || true
      kill -CONT "$pid" 2>/dev/null || true
      pids+=("$pid")
    fi
  done
  for pid in "${pids[@]}"; do end_process "$pid" 5; done
  for ((member = 1; member <= $(member_count); ++member)); do rm -f "$(member_dir "$member")/pid"; done
}

start() {
  [ -r "$jars/zookeeper.jar" ] || fail "Debian's libzookeeper-java is not installed (deploy/dependencies.sh installs it)"
  command -v java >/dev/null || fail "java is not installed (deploy/dependencies.sh installs it)"
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  local try member configured=no found waited
  if [ -r "$dir/members" ]; then configured=yes members=$(cat "$dir/members"); fi
  for try in 1 2 3 4 5; do
    [ "$configured" = yes ] || write_configuration
    found=no
    for ((member = 1; member <= members; ++member)); do
      if member_pid "$member" >/dev/null; then found=yes; else start_member "$member"; fi
    done
    waited=0
    wait_serving || waited=$?
    if [ "$waited" = 0 ]; then
      cat "$dir/connect"
      return 0
    fi
    # One that was found may have been ending (kill -9, and start at once): it is started now.
    if [ "$found" = yes ] && [ "$waited" = 1 ]; then continue; fi
    # Another program may have taken a chosen port meanwhile; a port asked for, or kept, is not ours to change.
    if [ -n "$fixed_port" ] || [ "$configured" = yes ] ||
       ! grep -qs 'Address already in use' "$dir"/member-*/zookeeper.log; then break; fi
    stop_members
    rm -f "$dir"/member-*/zookeeper.log
  done
  stop_members
  tail -n 5 "$dir"/member-*/zookeeper.log >&2 || true
  fail "ZooKeeper does not serve after $try tries; its logs are $dir/member-*/zookeeper.log"
}

status() {
  local member mode pid all=0
  [ -r "$dir/members" ] || { echo "no ZooKeeper was started in $dir"; return 1; }
  for ((member = 1; member <= $(member_count); ++member)); do
    pid=$(member_pid "$member") || pid=-
    mode=$(member_mode "$member") || { mode=down; all=1; }
    if [ "$pid" != - ] && [ "$mode" = down ]; then mode='not serving'; fi
    echo "member $member  pid $pid  127.0.0.1:$(client_port "$member")  $mode"
  done
  return "$all"
}

if [ "$command" != start ]; then
  if [ -d "$dir" ]; then dir=$(cd "$dir" && pwd); fi
fi
case $command in
  start) start ;;
  stop) stop_members ;;
  status) status ;;
esac
