#!/bin/sh
# Summary: transparent huge pages (Linux): when they are given, how hard the kernel works for one, and for shared memory
# Usage:   thp.sh status | apply VALUE | verify VALUE | revert TOKEN | facts
#
# Keys: enabled (a bare WORD), defrag, shmem, and min_free, which is vm.min_free_kbytes: the kernel raises it when huge pages are
# switched on and never lowers it again, so the token carries it and `revert` writes it last.
# Contract, exit codes and TUNE_ROOT: ../lib.sh
set -eu

# shellcheck source=../lib.sh
. "${0%"${0##*/}"}../lib.sh"

# shellcheck disable=SC2034 # lib.sh reads them
KEYS='enabled defrag shmem min_free' BARE=enabled SIDES='min_free' RIVALS='tuned'
HUGE=$TUNE_ROOT/sys/kernel/mm/transparent_hugepage

key_file() {
  case $1 in
    enabled | defrag) file=$HUGE/$1 ;;
    shmem) file=$HUGE/shmem_enabled ;;
    min_free) file=$TUNE_ROOT/proc/sys/vm/min_free_kbytes ;;
  esac
}

key_words() {
  [ "$1" != min_free ] || return 0
  key_file "$1"
  get_choices "$file"
  words=$word
}

supported() { [ -r "$HUGE/enabled" ]; }
unsupported_because() { printf 'no transparent huge pages here (not Linux, or a kernel without them)'; }

case ${0##*/} in thp.sh) tuning_main "$@" ;; esac
