#!/bin/sh
# Summary: who chooses how deep an idle CPU sleeps (Linux cpuidle), and which sleeping states it may choose
# Usage:   cpuidle.sh status | apply VALUE | verify VALUE | revert TOKEN | facts
#
# Keys: governor (a bare WORD); state1 to state9, 1 = may be used, 0 = not. A token names a state CPU by CPU where they differ:
# state2.cpu0=1,state2.cpu1=0. Contract, exit codes and TUNE_ROOT: ../lib.sh
set -eu

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

# shellcheck disable=SC2034 # lib.sh reads them
KEYS='governor state1 state2 state3 state4 state5 state6 state7 state8 state9' BARE=governor ONE_PLACE=no RIVALS='tuned'
CPUS=$TUNE_ROOT/sys/devices/system/cpu

places() {
  if [ "$1" = governor ]; then
    printf -- '-\n'
    return 0
  fi
  for folder in "$CPUS"/cpu[0-9]*; do
    if [ -r "$folder/cpuidle/$1/disable" ]; then printf '%s\n' "${folder##*/}"; fi
  done
}

key_file() {
  case $1 in
    governor) printf '%s' "$CPUS/cpuidle/current_governor" ;;
    *) printf '%s' "$CPUS/$2/cpuidle/$1/disable" ;;
  esac
}

key_words() {
  case $1 in
    governor) read_word "$CPUS/cpuidle/available_governors" ;;
    *) printf '0 1' ;;
  esac
}

contrary() { # the file says `disable`
  case $1 in 0) printf 1 ;; 1) printf 0 ;; esac
}

read_at() {
  word=$(read_word "$(key_file "$1" "$2")")
  if [ "$1" = governor ]; then printf '%s' "$word"; else contrary "$word"; fi
}

write_at() {
  word=$3
  if [ "$1" != governor ]; then word=$(contrary "$3"); fi
  write_word "$(key_file "$1" "$2")" "$word"
}

unsupported_because() { printf 'no cpuidle here (not Linux, or the host of this virtual machine owns it)'; }

case ${0##*/} in cpuidle.sh) tuning_main "$@" ;; esac
