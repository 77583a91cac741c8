#!/bin/sh
# Summary: whether macOS throttles what we start: the scheduling priority that this process tree inherited from launchd or cron
# Usage:   qos.sh status | verify pri=NUMBER | facts          (apply and revert: unsupported, a parent must set it)
#
# Key: pri. A launchd job with ProcessType Background, and everything below it, runs at a priority of 4 to 20, on efficiency cores
# and with its GPU work held back (a factor of 8 was seen). `verify pri=21` says whether we are above that, and the cure.
# Contract, exit codes: ../lib.sh
set -eu

# shellcheck source=../lib.sh
. "${0%"${0##*/}"}../lib.sh"

# shellcheck disable=SC2034 # lib.sh reads them
KEYS='pri' BARE=pri
CURE='set ProcessType to Interactive in its launchd plist, or start it from a terminal'

read_at() { word=$(ps -o pri= -p "$PPID" 2>/dev/null | tr -d ' '); }
has() {
  read_at "$1" "$2"
  [ -n "$word" ] && [ "$(uname -s)" = Darwin ]
}
holds() {
  read_at pri -
  [ "$word" -ge "${1#pri=}" ]
}
writable_at() { report unsupported "" "the priority comes from the parent: $CURE" 3; }
rival() {
  read_at pri -
  if [ "$word" -le 20 ]; then printf 'launchd (background priority; %s)' "$CURE"; fi
}
unsupported_because() { printf 'no launchd here (not macOS)'; }

offers() { # the line of parents, this one first, each with its priority
  pid=$PPID chain=
  while [ "${pid:-0}" -gt 1 ]; do
    chain="$chain$(ps -o pid=,pri=,comm= -p "$pid" | tr -s ' ' | sed 's/^ //')
"
    pid=$(ps -o ppid= -p "$pid" | tr -d ' ')
  done
  json_list "$chain"
  printf '{"tree":%s}' "$list"
}

case ${0##*/} in qos.sh) tuning_main "$@" ;; esac
