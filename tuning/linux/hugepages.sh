#!/bin/sh
# Summary: memory set aside as huge pages of the default size (Linux, vm.nr_hugepages)
# Usage:   hugepages.sh status | apply PAGES | verify PAGES | revert PAGES | facts
#
# Key: pages (a bare NUMBER). The kernel answers "yes" to 20000 and sets aside what it can find: the number is read back, and a
# smaller one is exit 5. Contract, exit codes and TUNE_ROOT: ../lib.sh
set -eu

# shellcheck source=../lib.sh
. "${0%"${0##*/}"}../lib.sh"

# shellcheck disable=SC2034 # lib.sh reads them
KEYS='pages' BARE=pages SIDES='pages' RIVALS='tuned'

key_file() { file=$TUNE_ROOT/proc/sys/vm/nr_hugepages; }
unsupported_because() { printf 'no huge pages here (not Linux, or a kernel without them)'; }

offers() {
  size=$(sed -n 's/^Hugepagesize: *\([0-9]*\) kB$/\1/p' "$TUNE_ROOT/proc/meminfo" 2>/dev/null || :)
  printf '{"page_kib":"%s"}' "$size"
}

case ${0##*/} in hugepages.sh) tuning_main "$@" ;; esac
