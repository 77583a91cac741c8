#!/bin/sh
# Summary: transparent huge pages (Linux): when they are given, how hard the kernel works for one, and for shared memory
# Usage:   thp.sh status | apply VALUE | verify VALUE | revert TOKEN | facts
#
# Keys: enabled (a bare WORD), defrag, shmem, and min_free, which is vm.min_free_kbytes: the kernel raises it when huge pages are
# switched on and never lowers it again, so the token carries it and `revert` writes it last.
# Contract, exit codes and TUNE_ROOT: ../lib.sh
set -eu

# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

# shellcheck disable=SC2034 # lib.sh reads them
KEYS='enabled defrag shmem min_free' BARE=enabled RIVALS='tuned'
HUGE=$TUNE_ROOT/sys/kernel/mm/transparent_hugepage

key_file() {
  case $1 in
    enabled | defrag) printf '%s' "$HUGE/$1" ;;
    shmem) printf '%s' "$HUGE/shmem_enabled" ;;
    min_free) printf '%s' "$TUNE_ROOT/proc/sys/vm/min_free_kbytes" ;;
  esac
}

key_words() {
  case $1 in
    min_free) ;;
    *) read_word "$(key_file "$1")" | tr -d '[]' ;;
  esac
}

supported() { [ -r "$HUGE/enabled" ]; }
unsupported_because() { printf 'no transparent huge pages here (not Linux, or a kernel without them)'; }
sides() { printf 'min_free\n'; }

case ${0##*/} in thp.sh) tuning_main "$@" ;; esac
