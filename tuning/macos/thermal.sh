#!/bin/sh
# Summary: how hot a Mac says it is: thermal pressure and the limits that macOS put on the CPU (facts; nothing can be set)
# Usage:   thermal.sh status | verify level=0 | facts          (apply and revert: unsupported)
#
# Keys: level (0 nominal, 1 moderate, 2 heavy, 3 trapping, 4 sleeping) and cpu_limit in percent. No root needed.
# Contract, exit codes: ../lib.sh
set -eu

# shellcheck source=../lib.sh
. "${0%"${0##*/}"}../lib.sh"

# shellcheck disable=SC2034 # lib.sh reads them
KEYS='level cpu_limit' BARE=level

read_at() {
  case $1 in
    level) word=$(notifyutil -g com.apple.system.thermalpressurelevel 2>/dev/null | awk '{ print $2 }') ;;
    cpu_limit) word=$(pmset -g therm 2>/dev/null | awk '$1 == "CPU_Speed_Limit" { print $3 }') ;;
  esac
}

has() {
  read_at "$1" "$2"
  [ -n "$word" ]
}
writable_at() { report unsupported "" 'heat cannot be set: let the machine cool, or pace the work' 3; }
unsupported_because() { printf 'no thermal pressure level here (not macOS)'; }

case ${0##*/} in thermal.sh) tuning_main "$@" ;; esac
