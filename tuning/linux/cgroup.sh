#!/bin/sh
# Summary: memory limit and CPU weight of a control group (Linux, version 2 and 1): the backstop behind the runner's own pools
# Usage:   cgroup.sh VERB ITEM [VALUE], VERB: status | apply | verify | revert | facts; `facts` alone names the caller's own group
#
# ITEM is the group's path below its hierarchy (/batch.slice), or `own`, the group of the caller, answered by its path.
# Keys: memory_max (a bare NUMBER of bytes, a multiple of the page size, or max), memory_high, cpu_weight.
# Contract, exit codes and TUNE_ROOT: ../lib.sh
set -eu

# shellcheck source=../lib.sh
. "${0%"${0##*/}"}../lib.sh"

# shellcheck disable=SC2034 # lib.sh reads them
ITEMS=yes KEYS='memory_high memory_max cpu_weight' BARE=memory_max
GROUPS_ROOT=$TUNE_ROOT/sys/fs/cgroup

own() { # CONTROLLER: path of the caller's group; version 1 has one for each controller
  [ -r "$TUNE_ROOT/proc/self/cgroup" ] || return 0
  found=$(sed -n "s/^[0-9]*:\([a-z,]*,\)\{0,1\}$1\(,[a-z,]*\)\{0,1\}://p" "$TUNE_ROOT/proc/self/cgroup")
  if [ -z "$found" ]; then found=$(sed -n 's/^0:://p' "$TUNE_ROOT/proc/self/cgroup"); fi
  printf '%s' "$found"
}

check_item() {
  if [ "$ITEM" = own ]; then
    ITEM=$(own memory)
    case $ITEM in *[!A-Za-z0-9_./@:-]*) report unsupported "" "the name of this group cannot be an item: $ITEM" 3 ;; esac
  fi
  case $ITEM in /*) ;; *) usage ;; esac
  ITEM=/${ITEM#/}
}

key_file() { # version 2 where the group has it, else version 1
  case $1 in
    memory_max) new=$GROUPS_ROOT$ITEM/memory.max old=$GROUPS_ROOT/memory$ITEM/memory.limit_in_bytes ;;
    memory_high) new=$GROUPS_ROOT$ITEM/memory.high old=$new ;;
    cpu_weight) new=$GROUPS_ROOT$ITEM/cpu.weight old=$GROUPS_ROOT/cpu$ITEM/cpu.shares ;;
  esac
  file=$new
  [ -r "$file" ] || file=$old
}

takes_number() { case $1 in max | [0-9]*) ;; *) return 1 ;; esac }
unsupported_because() { printf 'no group %s with a memory or cpu controller here' "$ITEM"; }
supported() {
  if [ -z "$ITEM" ]; then [ -n "$(own memory)" ]; else has memory_max - || has cpu_weight -; fi
}
offers() {
  json_list "$(own memory)"
  printf '{"items":%s}' "$list"
}

case ${0##*/} in cgroup.sh) tuning_main "$@" ;; esac
