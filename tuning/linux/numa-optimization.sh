#!/bin/sh
# Summary: who places memory on a machine of several NUMA nodes (Linux): automatic balancing and reclaim within a node
# Usage:   numa-optimization.sh status | apply VALUE | verify VALUE | revert TOKEN | facts
#
# Keys: balancing (a bare NUMBER: 0 = pages stay where the profile put them, 1 = the kernel moves them) and zone_reclaim (0 = take
# memory of another node before throwing away cache). One node has nothing to place: unsupported. Binding and interleaving of the
# workers themselves is process scope, not done here. `facts` tells nodes, CPUs, memory and distances.
# Contract, exit codes and TUNE_ROOT: ../lib.sh
set -eu

# shellcheck source=../lib.sh
. "${0%"${0##*/}"}../lib.sh"

# shellcheck disable=SC2034 # lib.sh reads them
KEYS='balancing zone_reclaim' BARE=balancing RIVALS='tuned numad'
NODES=$TUNE_ROOT/sys/devices/system/node

nodes='' count=0 # the nodes that have memory or CPUs
for folder in "$NODES"/node[0-9]*; do
  if [ -d "$folder" ]; then nodes="$nodes ${folder##*/}" count=$((count + 1)); fi
done

key_file() {
  case $1 in
    balancing) file=$TUNE_ROOT/proc/sys/kernel/numa_balancing ;;
    zone_reclaim) file=$TUNE_ROOT/proc/sys/vm/zone_reclaim_mode ;;
  esac
}

supported() { [ "$count" -ge 2 ] && { has balancing - || has zone_reclaim -; }; }

unsupported_because() {
  case $count in
    0) printf 'this system shows no NUMA nodes' ;;
    1) printf 'single node, not applicable: all memory is local' ;;
    *) printf 'several nodes, but a kernel without balancing and zone reclaim' ;;
  esac
}

offers() {
  out=
  for node in $nodes; do
    total=$(sed -n 's/^.*MemTotal: *\([0-9]*\) kB$/\1/p' "$NODES/$node/meminfo" 2>/dev/null || :)
    get_word "$NODES/$node/cpulist"
    out="$out${out:+,}\"$node\":{\"cpus\":\"$word\",\"memory_kib\":\"$total\","
    get_word "$NODES/$node/distance"
    out="$out\"distances\":\"$word\"}"
  done
  printf '{%s}' "$out"
}

case ${0##*/} in numa-optimization.sh) tuning_main "$@" ;; esac
