#!/bin/sh
# Summary: one kernel parameter of memory or scheduler (Linux) out of a list; each is a step of its own
# Usage:   sysctl.sh VERB ITEM [VALUE], VERB: status | apply | verify | revert | facts; `facts` alone lists the items
#
# Key: value (a bare NUMBER). vm.dirty and vm.dirty_background stand for a pair each, keys ratio (a bare NUMBER) and bytes: setting
# one makes the kernel clear the other, and it takes no 0 back, so the way back leads over the one that was in force.
# Contract, exit codes and TUNE_ROOT: ../lib.sh
set -eu

# shellcheck source=../lib.sh
. "${0%"${0##*/}"}../lib.sh"

# A list, since a profile may come from elsewhere: kernel.core_pattern, for one, runs programs as root.
KNOWN='vm.swappiness vm.dirty vm.dirty_background vm.dirty_expire_centisecs vm.dirty_writeback_centisecs vm.min_free_kbytes'
KNOWN="$KNOWN vm.max_map_count vm.overcommit_memory vm.watermark_scale_factor vm.compaction_proactiveness vm.vfs_cache_pressure"
KNOWN="$KNOWN vm.page-cluster vm.stat_interval kernel.sched_autogroup_enabled kernel.perf_event_paranoid kernel.timer_migration"

# shellcheck disable=SC2034 # lib.sh reads them
ITEMS=yes KEYS='value' BARE=value RIVALS='tuned'

check_item() {
  offered "$ITEM" "$KNOWN" || usage
  # shellcheck disable=SC2034 # lib.sh reads them
  case $ITEM in vm.dirty | vm.dirty_background) KEYS='ratio bytes' BARE=ratio ;; esac
}

key_file() {
  file=$TUNE_ROOT/proc/sys/${ITEM%%.*}/${ITEM#*.}
  if [ "$1" != value ]; then file=${file}_$1; fi
}

read_at() { # of a pair the one that is in force; both at 0 is what ratio=0 means
  if [ "$1" = ratio ]; then
    key_file bytes -
    get_word "$file"
    if [ "$word" != 0 ]; then
      word=
      return 0
    fi
  fi
  key_file "$1" "$2"
  get_word "$file"
  case $1:$word in
    bytes:0) word= ;;
    *) make_writable ;;
  esac
}

write_at() {
  key_file "$1" "$2"
  write_word "$file" "$3" || return 1
  [ -n "$TUNE_ROOT" ] || return 0
  case $1 in # a plain file of a fake root has no kernel that clears the other of the pair
    ratio) key_file bytes - ;;
    bytes) key_file ratio - ;;
    *) return 0 ;;
  esac
  write_word "$file" 0
}

unsupported_because() { printf 'this kernel has no %s' "${ITEM:-/proc/sys}"; }

configured() { # lines: files of the system that set this item at boot
  pattern=$(printf '%s' "$ITEM" | sed 's/[.]/[.\/]/g')
  for file in "$TUNE_ROOT/etc/sysctl.conf" "$TUNE_ROOT"/etc/sysctl.d/*.conf; do
    if [ -r "$file" ] && grep -q "^[ -]*${pattern}[_a-z]* *=" "$file"; then printf '%s\n' "${file#"$TUNE_ROOT"}"; fi
  done
}

offers() {
  if [ -z "$ITEM" ]; then
    json_words "$KNOWN"
    printf '{"items":%s}' "$list"
  else
    json_list "$(configured)"
    printf '{"also_set_by":%s}' "$list"
  fi
}

case ${0##*/} in sysctl.sh) tuning_main "$@" ;; esac
