#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2030,SC2031 # every @bats test is a subshell, and $(id) must not expand
# Aim: cpu-governor-setup.sh keeps the contract of tuning/lib.sh. Method: a fake /sys and /proc under TUNE_ROOT; nothing real is touched.

setup() {
  SCRIPT=$BATS_TEST_DIRNAME/../../tuning/linux/cpu-governor-setup.sh
  export TUNE_ROOT=$BATS_TEST_TMPDIR/root
  CPUFREQ=$TUNE_ROOT/sys/devices/system/cpu/cpufreq
  for n in 0 1; do
    mkdir -p "$CPUFREQ/policy$n"
    echo powersave >"$CPUFREQ/policy$n/scaling_governor"
    echo 'performance powersave schedutil' >"$CPUFREQ/policy$n/scaling_available_governors"
    echo balance_performance >"$CPUFREQ/policy$n/energy_performance_preference"
    echo 'default performance balance_performance power' >"$CPUFREQ/policy$n/energy_performance_available_preferences"
    echo amd-pstate-epp >"$CPUFREQ/policy$n/scaling_driver"
    echo 4000000 >"$CPUFREQ/policy$n/scaling_max_freq"
  done
  echo 1 >"$CPUFREQ/boost"
  mkdir -p "$TUNE_ROOT/proc/1"
  echo systemd >"$TUNE_ROOT/proc/1/comm"
}

field() { # KEY: one field of the JSON line in $output, which must be the only line
  python3 -c 'import json, sys; v = json.loads(sys.argv[1])[sys.argv[2]]; print(v if isinstance(v, str) else json.dumps(v))' "$output" "$1"
}

@test "status gives one JSON line whose value names governor, EPP and boost" {
  run "$SCRIPT" status
  [ "$status" -eq 0 ]
  [ "$(field step)" = cpu-governor-setup ]
  [ "$(field state)" = ok ]
  [ "$(field value)" = governor=powersave,epp=balance_performance,boost=1 ]
  [ "$(field touches)" = '["/sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq", "/sys/devices/system/cpu/cpufreq/policy1/scaling_max_freq"]' ]
}

@test "apply sets every policy, reads back, and the token of status puts all of it back" {
  token=$("$SCRIPT" status | python3 -c 'import json, sys; print(json.load(sys.stdin)["value"])')
  run "$SCRIPT" apply governor=performance,epp=performance,boost=0
  [ "$status" -eq 0 ]
  [ "$(field state)" = applied ]
  [ "$(cat "$CPUFREQ/policy1/scaling_governor")" = performance ]
  [ "$(cat "$CPUFREQ/boost")" = 0 ]
  run "$SCRIPT" revert "$token"
  [ "$status" -eq 0 ]
  [ "$(field state)" = reverted ]
  run "$SCRIPT" status
  [ "$(field value)" = "$token" ]
}

@test "policies that differ are named one by one in the token and restored one by one" {
  echo schedutil >"$CPUFREQ/policy1/scaling_governor"
  run "$SCRIPT" status
  token=$(field value)
  [ "$token" = governor.policy0=powersave,governor.policy1=schedutil,epp=balance_performance,boost=1 ]
  "$SCRIPT" apply performance
  run "$SCRIPT" revert "$token"
  [ "$status" -eq 0 ]
  [ "$(cat "$CPUFREQ/policy0/scaling_governor")" = powersave ]
  [ "$(cat "$CPUFREQ/policy1/scaling_governor")" = schedutil ]
}

@test "a bare word means the governor and leaves EPP and boost alone" {
  run "$SCRIPT" apply schedutil
  [ "$status" -eq 0 ]
  [ "$(field value)" = governor=schedutil,epp=balance_performance,boost=1 ]
}

@test "apply twice is the same as once" {
  "$SCRIPT" apply performance
  run "$SCRIPT" apply performance
  [ "$status" -eq 0 ]
  [ "$(field state)" = applied ]
}

@test "verify says ok when the value is set and exits 5 when it differs" {
  run "$SCRIPT" verify powersave
  [ "$status" -eq 0 ]
  run "$SCRIPT" verify performance
  [ "$status" -eq 5 ]
  [ "$(field state)" = differs ]
}

@test "intel_pstate's no_turbo is read and written as the contrary of boost" {
  rm "$CPUFREQ/boost"
  mkdir "$TUNE_ROOT/sys/devices/system/cpu/intel_pstate"
  echo 0 >"$TUNE_ROOT/sys/devices/system/cpu/intel_pstate/no_turbo"
  run "$SCRIPT" apply boost=0
  [ "$status" -eq 0 ]
  [ "$(cat "$TUNE_ROOT/sys/devices/system/cpu/intel_pstate/no_turbo")" = 1 ]
  [ "$(field value)" = governor=powersave,epp=balance_performance,boost=0 ]
}

@test "a governor that the kernel does not offer fails, says what is offered, and writes nothing" {
  run "$SCRIPT" apply boost=0,governor=turbo
  [ "$status" -eq 1 ]
  [ "$(field state)" = failed ]
  [[ "$(field detail)" == *"offered: performance powersave schedutil"* ]]
  [ "$(cat "$CPUFREQ/boost")" = 1 ]
  run "$SCRIPT" apply boost=2
  [ "$status" -eq 1 ]
}

@test "EPB and the platform profile are part of the token and come back with it" {
  for n in 0 1; do
    mkdir -p "$TUNE_ROOT/sys/devices/system/cpu/cpu$n/power"
    echo 6 >"$TUNE_ROOT/sys/devices/system/cpu/cpu$n/power/energy_perf_bias"
  done
  mkdir -p "$TUNE_ROOT/sys/firmware/acpi"
  echo balanced >"$TUNE_ROOT/sys/firmware/acpi/platform_profile"
  echo 'low-power balanced performance' >"$TUNE_ROOT/sys/firmware/acpi/platform_profile_choices"
  run "$SCRIPT" status
  token=$(field value)
  [ "$token" = governor=powersave,epp=balance_performance,epb=6,boost=1,platform=balanced ]
  run "$SCRIPT" apply platform=performance,epb.policy1=0
  [ "$status" -eq 0 ]
  [ "$(field value)" = governor=powersave,epp=balance_performance,epb.policy0=6,epb.policy1=0,boost=1,platform=performance ]
  run "$SCRIPT" apply platform=turbo
  [ "$status" -eq 1 ]
  run "$SCRIPT" revert "$token"
  [ "$status" -eq 0 ]
  [ "$(field value)" = "$token" ]
}

@test "a machine without EPP says so instead of leaving it out in silence" {
  rm "$CPUFREQ"/policy*/energy_performance_preference
  run "$SCRIPT" status
  [ "$(field value)" = governor=powersave,boost=1 ]
  run "$SCRIPT" apply epp=performance
  [ "$status" -eq 1 ]
  [[ "$(field detail)" == *"no epp"* ]]
}

@test "no cpufreq at all is unsupported, exit 3, for every verb" {
  rm -r "$CPUFREQ"
  for verb in status facts 'apply performance' 'verify performance' 'revert performance'; do
    # shellcheck disable=SC2086 # verb and value are two words
    run "$SCRIPT" $verb
    [ "$status" -eq 3 ]
    [ "$(field state)" = unsupported ]
    [ "$(field touches)" = '[]' ]
  done
}

@test "a value that the kernel takes without doing it is reported as differing, exit 5" {
  ln -sf /dev/null "$CPUFREQ/boost" # writable, and reads back as nothing
  run "$SCRIPT" apply boost=0
  [ "$status" -eq 5 ]
  [ "$(field state)" = differs ]
}

@test "a write that the kernel refuses is a failure, exit 1" {
  ln -sf /proc/self/oom_score_adj "$CPUFREQ/policy0/scaling_governor" # takes numbers only
  run "$SCRIPT" apply performance
  [ "$status" -eq 1 ]
  [ "$(field state)" = failed ]
}

@test "without the right to write nothing is written and the exit code is 4" {
  chmod a-w "$CPUFREQ/policy1/scaling_governor"
  chmod -R a+rX "$BATS_TEST_TMPDIR"
  as=()
  if [ "$(id -u)" -eq 0 ]; then # root may write anything; an unknown user may not
    command -v setpriv >/dev/null || skip 'needs setpriv to stop being root'
    chmod -R a+w "$CPUFREQ/policy0" "$CPUFREQ/boost"
    cp -r "$(dirname "$SCRIPT")/.." "$BATS_TEST_TMPDIR/tuning"
    chmod -R a+rX "$BATS_TEST_TMPDIR"
    path=$BATS_TEST_TMPDIR
    while [ "$path" != / ]; do chmod a+x "$path"; path=$(dirname "$path"); [ "$path" != /tmp ] || break; done
    SCRIPT=$BATS_TEST_TMPDIR/tuning/linux/cpu-governor-setup.sh
    as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  fi
  run "${as[@]}" "$SCRIPT" apply boost=0,governor=performance
  [ "$status" -eq 4 ]
  [ "$(field state)" = needs_privilege ]
  [[ "$(field detail)" == /sys/devices/system/cpu/cpufreq/policy1/scaling_governor* ]]
  [ "$(cat "$CPUFREQ/boost")" = 1 ]
  [ "$(cat "$CPUFREQ/policy0/scaling_governor")" = powersave ]
}

@test "another owner of the clock is a conflict for apply, exit 6, and does not hinder revert" {
  mkdir "$TUNE_ROOT/proc/42"
  echo power-profiles- >"$TUNE_ROOT/proc/42/comm"
  run "$SCRIPT" apply performance
  [ "$status" -eq 6 ]
  [ "$(field state)" = conflict ]
  [[ "$(field detail)" == power-profiles-* ]]
  [ "$(cat "$CPUFREQ/policy0/scaling_governor")" = powersave ]
  run "$SCRIPT" revert schedutil
  [ "$status" -eq 0 ]
}

@test "facts lists what the machine offers" {
  run "$SCRIPT" facts
  [ "$status" -eq 0 ]
  [ "$(field offers)" = '{"governor": ["performance", "powersave", "schedutil"], "epp": ["default", "performance", "balance_performance", "power"], "boost": ["0", "1"]}' ]
}

@test "a wrong call is exit 2 with the usage on stderr and nothing on stdout" {
  for call in '' 'stauts' 'apply' 'apply a b' 'status x' 'apply colour=red' 'apply $(id)' 'revert ../x'; do
    # shellcheck disable=SC2086 # several words are the point
    set -- $call
    [ "$call" != 'apply $(id)' ] || set -- apply '$(id)'
    out=$("$SCRIPT" "$@" 2>"$BATS_TEST_TMPDIR/err") && code=0 || code=$?
    [ "$code" -eq 2 ]
    [ -z "$out" ]
    grep -q 'Usage:' "$BATS_TEST_TMPDIR/err"
  done
}

@test "it can be sourced without doing anything" {
  run sh -c '. "$1"' cpu-governor-setup.sh.sourced "$SCRIPT"
  [ -z "$output" ] || [[ "$output" != *step* ]]
}
