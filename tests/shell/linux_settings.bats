#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031 # every @bats test is a subshell
# Aim: the other Linux scripts keep the contract of tuning/lib.sh, and each trap of putting a value back is known. Method: a fake
# /sys and /proc under TUNE_ROOT; nothing real is written but attributes of this very process.

setup() {
  BIN=$BATS_TEST_DIRNAME/../../tuning/linux
  export TUNE_ROOT=$BATS_TEST_TMPDIR/root
  VM=$TUNE_ROOT/proc/sys/vm
  HUGE=$TUNE_ROOT/sys/kernel/mm/transparent_hugepage
  CPUS=$TUNE_ROOT/sys/devices/system/cpu
  mkdir -p "$VM" "$TUNE_ROOT/proc/sys/kernel" "$HUGE" "$CPUS/cpuidle" "$TUNE_ROOT/proc/1"
  echo systemd >"$TUNE_ROOT/proc/1/comm"
  echo 'always [madvise] never' >"$HUGE/enabled"
  echo 'always defer [defer+madvise] madvise never' >"$HUGE/defrag"
  echo 40000 >"$VM/min_free_kbytes"
  echo 20 >"$VM/dirty_ratio"
  echo 0 >"$VM/dirty_bytes"
  echo 60 >"$VM/swappiness"
  echo 0 >"$VM/nr_hugepages"
  echo menu >"$CPUS/cpuidle/current_governor"
  echo 'ladder menu haltpoll' >"$CPUS/cpuidle/available_governors"
  for cpu in 0 1; do
    mkdir -p "$CPUS/cpu$cpu/cpuidle/state1" "$CPUS/cpu$cpu/cpuidle/state2"
    echo 0 >"$CPUS/cpu$cpu/cpuidle/state1/disable"
    echo "$cpu" >"$CPUS/cpu$cpu/cpuidle/state2/disable"
  done
}

field() { # KEY: one field of the JSON line in $output, which must be the only line
  python3 -c 'import json, sys; v = json.loads(sys.argv[1])[sys.argv[2]]; print(v if isinstance(v, str) else json.dumps(v))' "$output" "$1"
}

round_trip() { # SCRIPT VALUE [ITEM]: applied, verified, and back by the token of before; nothing else in the tree differs
  cp -r "$TUNE_ROOT" "$BATS_TEST_TMPDIR/before"
  run "$BIN/$1" status ${3:+"$3"}
  [ "$status" -eq 0 ]
  token=$(field value)
  run "$BIN/$1" apply ${3:+"$3"} "$2"
  [ "$status" -eq 0 ]
  [ "$(field state)" = applied ]
  run "$BIN/$1" verify ${3:+"$3"} "$2"
  [ "$status" -eq 0 ]
  run "$BIN/$1" verify ${3:+"$3"} "$token"
  [ "$status" -eq 5 ]
  run "$BIN/$1" revert ${3:+"$3"} "$token"
  [ "$status" -eq 0 ]
  [ "$(field value)" = "$token" ]
  diff -r "$TUNE_ROOT" "$BATS_TEST_TMPDIR/before"
}

@test "huge pages: the selected word is the value, and all of it comes back" {
  run "$BIN/thp.sh" status
  [ "$(field value)" = enabled=madvise,defrag=defer+madvise,min_free=40000 ]
  round_trip thp.sh enabled=always,defrag=madvise
}

@test "trap: min_free_kbytes, which the kernel raises along with huge pages, is a side of the step and goes back with it" {
  token=enabled=madvise,defrag=defer+madvise,min_free=40000
  run "$BIN/thp.sh" apply always
  [ "$(field sides)" = '["min_free"]' ]
  echo 67584 >"$VM/min_free_kbytes" # what the kernel does
  run "$BIN/thp.sh" revert "$token"
  [ "$status" -eq 0 ]
  [ "$(cat "$VM/min_free_kbytes")" = 40000 ]
}

@test "trap: dirty_bytes goes back through its counterpart, never by writing 0" {
  run "$BIN/sysctl.sh" status vm.dirty
  [ "$(field value)" = ratio=20 ]
  round_trip sysctl.sh bytes=1073741824 vm.dirty
}

@test "trap: fewer huge pages than asked is exit 5, not success" {
  ln -sf /dev/null "$VM/nr_hugepages" # takes everything, gives nothing
  run "$BIN/hugepages.sh" apply 20000
  [ "$status" -eq 5 ]
  [ "$(field state)" = differs ]
}

@test "trap: a value printed in base 16 is written back in base 16" {
  (
    echo 0x33 >"/proc/$BASHPID/coredump_filter" # of this process alone
    ln -sf "/proc/$BASHPID/coredump_filter" "$VM/swappiness"
    [ "$(cat "$VM/swappiness")" = 00000033 ]
    run "$BIN/sysctl.sh" status vm.swappiness
    [ "$(field value)" = value=0x33 ]
    run "$BIN/sysctl.sh" apply vm.swappiness 0x7
    [ "$status" -eq 0 ]
    run "$BIN/sysctl.sh" revert vm.swappiness value=0x33
    [ "$status" -eq 0 ]
    [ "$(cat "$VM/swappiness")" = 00000033 ]
  )
}

@test "trap: a number of the real /proc/sys is read whole, though sh reads byte by byte" {
  [ -r /proc/sys/vm/swappiness ] || skip 'platform: no /proc/sys here'
  run env TUNE_ROOT= "$BIN/sysctl.sh" status vm.max_map_count
  [ "$(field value)" = "value=$(cat /proc/sys/vm/max_map_count)" ]
}

@test "hugepages and one kernel parameter make the round trip" {
  round_trip hugepages.sh 512
  rm -r "$BATS_TEST_TMPDIR/before"
  round_trip sysctl.sh 10 vm.swappiness
}

@test "a kernel parameter that is not in the list is a wrong call: a profile may come from elsewhere" {
  for item in kernel.core_pattern ../vm/swappiness vm vm.swappiness/x; do
    run "$BIN/sysctl.sh" apply "$item" 1
    [ "$status" -eq 2 ]
  done
}

@test "facts of a kernel parameter name the files that set it at boot" {
  mkdir -p "$TUNE_ROOT/etc/sysctl.d"
  echo 'vm.swappiness = 1' >"$TUNE_ROOT/etc/sysctl.d/99-mine.conf"
  run "$BIN/sysctl.sh" facts vm.swappiness
  [ "$(field offers)" = '{"also_set_by": ["/etc/sysctl.d/99-mine.conf"]}' ]
}

@test "sleeping states that differ from CPU to CPU are named one by one and come back one by one" {
  run "$BIN/cpuidle.sh" status
  [ "$(field value)" = governor=menu,state1=1,state2.cpu0=1,state2.cpu1=0 ]
  round_trip cpuidle.sh governor=haltpoll,state1=0,state2=0
}

@test "read-ahead belongs to a disk; a partition stands for its disk" {
  mkdir -p "$TUNE_ROOT/sys/block/vda/queue" "$TUNE_ROOT/sys/block/vda/vda1"
  echo 128 >"$TUNE_ROOT/sys/block/vda/queue/read_ahead_kb"
  echo '[none] mq-deadline' >"$TUNE_ROOT/sys/block/vda/queue/scheduler"
  echo 1 >"$TUNE_ROOT/sys/block/vda/vda1/partition"
  run "$BIN/readahead.sh" status vda1
  [ "$(field step)" = readahead:vda ]
  [ "$(field value)" = kib=128,scheduler=none ]
  round_trip readahead.sh 4096,scheduler=mq-deadline vda
  run "$BIN/readahead.sh" status sda
  [ "$status" -eq 3 ]
}

@test "a control group of version 2: own is answered by its path" {
  mkdir -p "$TUNE_ROOT/sys/fs/cgroup/batch.slice" "$TUNE_ROOT/proc/self"
  echo '0::/batch.slice' >"$TUNE_ROOT/proc/self/cgroup"
  echo max >"$TUNE_ROOT/sys/fs/cgroup/batch.slice/memory.max"
  echo max >"$TUNE_ROOT/sys/fs/cgroup/batch.slice/memory.high"
  run "$BIN/cgroup.sh" status own
  [ "$(field step)" = cgroup:/batch.slice ]
  round_trip cgroup.sh memory_max=8589934592,memory_high=4294967296 /batch.slice
}

@test "a control group of version 1" {
  mkdir -p "$TUNE_ROOT/sys/fs/cgroup/memory/batch" "$TUNE_ROOT/proc/self"
  printf '5:cpu,cpuacct:/\n4:memory:/batch\n0::/\n' >"$TUNE_ROOT/proc/self/cgroup"
  echo 9223372036854771712 >"$TUNE_ROOT/sys/fs/cgroup/memory/batch/memory.limit_in_bytes"
  run "$BIN/cgroup.sh" status own
  [ "$(field step)" = cgroup:/batch ]
  round_trip cgroup.sh 8589934592 /batch
}

@test "one NUMA node is not applicable and says so; two have balancing and reclaim" {
  mkdir -p "$TUNE_ROOT/sys/devices/system/node/node0"
  echo 1 >"$TUNE_ROOT/proc/sys/kernel/numa_balancing"
  echo 0 >"$VM/zone_reclaim_mode"
  run "$BIN/numa-optimization.sh" status
  [ "$status" -eq 3 ]
  [[ "$(field detail)" == 'single node, not applicable'* ]]
  mkdir "$TUNE_ROOT/sys/devices/system/node/node1"
  for n in 0 1; do
    echo "$n" >"$TUNE_ROOT/sys/devices/system/node/node$n/cpulist"
    echo '10 21' >"$TUNE_ROOT/sys/devices/system/node/node$n/distance"
    echo "Node $n MemTotal:       1000 kB" >"$TUNE_ROOT/sys/devices/system/node/node$n/meminfo"
  done
  round_trip numa-optimization.sh balancing=0,zone_reclaim=1
  run "$BIN/numa-optimization.sh" facts
  [[ "$(field offers)" == *'"node1": {"cpus": "1", "memory_kib": "1000", "distances": "10 21"}'* ]]
}

@test "TuneD is a conflict for apply of every script that writes what it writes" {
  mkdir "$TUNE_ROOT/proc/7"
  echo tuned >"$TUNE_ROOT/proc/7/comm"
  for call in 'thp.sh apply never' 'hugepages.sh apply 5' 'sysctl.sh apply vm.swappiness 10' 'cpuidle.sh apply menu'; do
    # shellcheck disable=SC2086 # several words are the point
    set -- $call
    script=$1
    shift
    run "$BIN/$script" "$@"
    [ "$status" -eq 6 ]
  done
}

@test "an empty machine is unsupported, exit 3, everywhere" {
  export TUNE_ROOT=$BATS_TEST_TMPDIR/empty
  mkdir "$TUNE_ROOT"
  for call in 'thp.sh status' 'hugepages.sh facts' 'sysctl.sh status vm.dirty' 'cpuidle.sh status' 'readahead.sh facts' \
    'cgroup.sh facts' 'cgroup.sh status /x' 'numa-optimization.sh apply 0'; do
    # shellcheck disable=SC2086 # several words are the point
    set -- $call
    script=$1
    shift
    run "$BIN/$script" "$@"
    [ "$status" -eq 3 ]
    [ "$(field state)" = unsupported ]
  done
}
