#!/bin/sh
# Summary: how much memory the GPU of a Mac may hold fast (iogpu.wired_limit_mb); a step too far is a panic, so it is off by default
# Usage:   wired-limit.sh status | apply MIB | verify MIB | revert MIB | facts
#
# Key: mib (a bare NUMBER); 0 = the system's own choice. At most physical memory less 8 GiB, and never with a panic report of the
# last three days: both are refused. Gone with a restart. Contract, exit codes: ../lib.sh
set -eu

# shellcheck source=../lib.sh
. "${0%"${0##*/}"}../lib.sh"

# shellcheck disable=SC2034 # lib.sh reads them
KEYS='mib' BARE=mib
RESERVE_MIB=8192

has() {
  read_at "$1" "$2"
  [ -n "$word" ]
}
read_at() { word=$(sysctl -n iogpu.wired_limit_mb 2>/dev/null) || :; }
writable_at() { may_call sysctl; }
name_of() { printf 'iogpu.wired_limit_mb'; }
write_at() { privileged sysctl -w "iogpu.wired_limit_mb=$3" >/dev/null; }
physical_mib() { printf '%s' $(($(sysctl -n hw.memsize) / 1048576)); }
panics() { find "$TUNE_ROOT/Library/Logs/DiagnosticReports" -name '*.panic' -mtime -3 2>/dev/null | wc -l | tr -d ' '; }

rival() {
  if [ "$(panics)" != 0 ]; then
    printf '%s panic report(s) of the last three days: the kernel' "$(panics)"
  elif [ -n "${value:-}" ] && [ "${value#mib=}" -gt $(($(physical_mib) - RESERVE_MIB)) ]; then
    printf 'this Mac has %s MiB and macOS needs %s of them: the system' "$(physical_mib)" $RESERVE_MIB
  fi
}

offers() { printf '{"physical_mib":"%s","panics_of_three_days":"%s"}' "$(physical_mib)" "$(panics)"; }
unsupported_because() { printf 'no iogpu.wired_limit_mb here (not macOS on Apple silicon)'; }

case ${0##*/} in wired-limit.sh) tuning_main "$@" ;; esac
