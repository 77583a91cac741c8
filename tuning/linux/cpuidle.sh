#!/bin/sh
# Summary: who chooses how deep an idle CPU sleeps (Linux cpuidle), and which sleeping states it may choose
# Usage:   cpuidle.sh status | apply VALUE | verify VALUE | revert TOKEN | facts
#
# Keys: governor (a bare WORD); state1 to state9, 1 = may be used, 0 = not. A token names a state CPU by CPU where they differ:
# state2.cpu0=1,state2.cpu1=0. Contract, exit codes and TUNE_ROOT: ../lib.sh
set -eu

# shellcheck source=../lib.sh
. "${0%"${0##*/}"}../lib.sh"

# shellcheck disable=SC2034 # lib.sh reads them
KEYS='governor state1 state2 state3 state4 state5 state6 state7 state8 state9' BARE=governor ONE_PLACE=no RIVALS='tuned'
CPUS=$TUNE_ROOT/sys/devices/system/cpu

places() {
  all_places=-
  if [ "$1" = governor ]; then return 0; fi
  all_places=
  for folder in "$CPUS"/cpu[0-9]*/cpuidle/"$1"; do
    if [ -r "$folder/disable" ]; then
      folder=${folder%/cpuidle/*}
      all_places="$all_places ${folder##*/}"
    fi
  done
}

key_file() {
  case $1 in
    governor) file=$CPUS/cpuidle/current_governor ;;
    *) file=$CPUS/$2/cpuidle/$1/disable ;;
  esac
}

key_words() {
  case $1 in
    governor) get_word "$CPUS/cpuidle/available_governors" ;;
    *) word='0 1' ;;
  esac
  words=$word
}

turn() { # KEY WORD, in $word: the file of a state says `disable`
  case $1:$2 in
    governor:*) word=$2 ;;
    *:0) word=1 ;;
    *:1) word=0 ;;
    *) word= ;;
  esac
}

read_at() {
  key_file "$1" "$2"
  get_word "$file"
  turn "$1" "$word"
}

write_at() {
  key_file "$1" "$2"
  turn "$1" "$3"
  write_word "$file" "$word"
}

unsupported_because() { printf 'no cpuidle here (not Linux, or the host of this virtual machine owns it)'; }

case ${0##*/} in cpuidle.sh) tuning_main "$@" ;; esac
