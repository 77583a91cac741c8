#!/bin/sh
# Summary: energy mode of a Mac (pmset): automatic, low power or high power, on the adapter and on the battery
# Usage:   power-mode.sh status | apply VALUE | verify VALUE | revert TOKEN | facts
#
# Keys: ac (a bare NUMBER) and battery; 0 = automatic, 1 = low power, 2 = high power (some machines only). Older systems know
# `lowpowermode` alone, 0 or 1. Survives a restart. Root writes it: tried as we are, then by `sudo -n`; never a password.
# Contract, exit codes: ../lib.sh
set -eu

# shellcheck source=../lib.sh
. "${0%"${0##*/}"}../lib.sh"

# shellcheck disable=SC2034 # lib.sh reads them
KEYS='ac battery' BARE=ac LASTING=true

custom() { pmset -g custom 2>/dev/null || :; }

setting() { # the name of this system's setting
  case $(custom) in
    *' powermode '*) printf powermode ;;
    *' lowpowermode '*) printf lowpowermode ;;
  esac
}

read_at() { # of the section that begins with "AC Power:" or "Battery Power:"
  case $1 in ac) section='AC Power:' ;; *) section='Battery Power:' ;; esac
  word=$(custom | awk -v section="$section" -v name="$(setting)" '
    /^[A-Z].*:$/ { inside = ($0 == section) }
    inside && $1 == name { print $2 }')
}

has() {
  read_at "$1" "$2"
  [ -n "$word" ]
}
key_words() { if [ "$(setting)" = powermode ]; then words='0 1 2'; else words='0 1'; fi; }
writable_at() { may_call pmset; }
name_of() { printf 'pmset %s' "$(setting)"; }
write_at() {
  case $1 in ac) source=-c ;; *) source=-b ;; esac
  privileged pmset "$source" "$(setting)" "$3"
}
unsupported_because() { printf 'no power mode here (not macOS, or a Mac without one)'; }

case ${0##*/} in power-mode.sh) tuning_main "$@" ;; esac
