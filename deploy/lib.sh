# What the scripts of deploy/ share. Sourced, not run. Pure bash: no tool beyond Debian's base system.

fail() { echo "${0##*/}: $*" >&2; exit 1; }

# Takes the words after an option that needs a value: need_value --dir "$@" fails when there is none.
need_value() { [ $# -ge 3 ] && [ -n "$3" ] || { echo "${0##*/}: $1 needs a value" >&2; exit 2; }; }

# True when somebody listens on 127.0.0.1:$1.
port_used() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Prints a port nobody listens on, below the range from which the kernel takes those of outgoing connections.
# Further arguments are ports not to be taken, chosen before but not yet used.
free_port() {
  local port try
  for try in {1..200}; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 10000))
    [[ " $* " == *" $port "* ]] && continue
    port_used "$port" || { echo "$port"; return 0; }
  done
  fail "no free port found after $try tries"
}

# pid_of FILE WORD: prints the pid in FILE if that process lives and WORD is in its command line (a pid may be
# somebody else's by now).
pid_of() {
  local pid
  [ -r "$1" ] || return 1
  read -r pid <"$1" || [ -n "$pid" ] || return 1
  [[ $pid =~ ^[0-9]+$ ]] || return 1
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "$2" || return 1
  echo "$pid"
}

# False for a process that has gone or is a zombie.
process_lives() {
  local state
  state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) || return 1
  [ -n "$state" ] && [ "$state" != Z ] && [ "$state" != X ]
}

# wait_gone PID SECONDS
wait_gone() {
  local deadline=$((SECONDS + $2))
  while process_lives "$1"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.02
  done
}

# end_process PID SECONDS: asks politely, insists after SECONDS. Also ends a paused one.
end_process() {
  kill -TERM "$1" 2>/dev/null || return 0
  kill -CONT "$1" 2>/dev/null
  wait_gone "$1" "$2" && return 0
  kill -KILL "$1" 2>/dev/null
  wait_gone "$1" 5
}
