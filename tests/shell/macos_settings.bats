#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2030,SC2031 # every @bats test is a subshell; the fakes expand their own words
# Aim: the macOS scripts keep the contract of tuning/lib.sh. Method: pmset, sysctl, ps, notifyutil, uname and sudo are fakes on
# PATH that answer as recorded outputs do. None of these scripts has ever run on a Mac.

setup() {
  BIN=$BATS_TEST_DIRNAME/../../tuning/macos
  FAKE=$BATS_TEST_TMPDIR/bin
  export STATE=$BATS_TEST_TMPDIR/state TUNE_ROOT=$BATS_TEST_TMPDIR/root NAME=powermode
  mkdir -p "$FAKE" "$STATE" "$TUNE_ROOT/Library/Logs/DiagnosticReports"
  export PATH=$FAKE:$PATH
  echo 0 >"$STATE/battery"
  echo 0 >"$STATE/ac"
  echo 0 >"$STATE/wired"
  fake pmset '
case $1 in
  -g) if [ "$2" = therm ]; then printf "Note: No thermal warning level has been recorded\nCPU_Speed_Limit \t= 100\n"; exit 0; fi
    printf "Battery Power:\n Sleep On Power Button 1\n %s            %s\n standby              1\n" "$NAME" "$(cat "$STATE/battery")"
    printf "AC Power:\n Sleep On Power Button 1\n %s            %s\n womp                 1\n" "$NAME" "$(cat "$STATE/ac")" ;;
  -c) echo "$3" >"$STATE/ac" ;;
  -b) echo "$3" >"$STATE/battery" ;;
esac'
  fake sysctl '
case "$*" in
  "-n iogpu.wired_limit_mb") cat "$STATE/wired" ;;
  "-n hw.memsize") echo 137438953472 ;;
  "-w iogpu.wired_limit_mb="*) echo "${2#*=}" >"$STATE/wired" ;;
esac'
  fake uname 'echo Darwin'
  fake notifyutil 'echo "com.apple.system.thermalpressurelevel 0"'
  fake ps 'case "$*" in *ppid*) echo 1 ;; *comm*) echo "  501  ${PRI:-31} runner" ;; *) echo "${PRI:-31}" ;; esac'
  fake sudo 'echo "sudo: a password is required" >&2; exit 1'
  fake id 'if [ "$1" = -u ]; then echo "${AS:-0}"; else echo somebody; fi'
}

fake() { # NAME BODY
  printf '#!/bin/sh\n%s\n' "$2" >"$FAKE/$1"
  chmod +x "$FAKE/$1"
}

field() { # KEY: one field of the JSON line in $output, which must be the only line
  python3 -c 'import json, sys; v = json.loads(sys.argv[1])[sys.argv[2]]; print(v if isinstance(v, str) else json.dumps(v))' "$output" "$1"
}

@test "power mode: read for both sources, set, and back by its token; it outlives a restart" {
  run "$BIN/power-mode.sh" status
  [ "$status" -eq 0 ]
  token=$(field value)
  [ "$token" = ac=0,battery=0 ]
  [ "$(field lasting)" = true ]
  run "$BIN/power-mode.sh" apply 2
  [ "$status" -eq 0 ]
  [ "$(field value)" = ac=2,battery=0 ]
  run "$BIN/power-mode.sh" revert "$token"
  [ "$status" -eq 0 ]
  [ "$(cat "$STATE/ac")" = 0 ]
}

@test "power mode of an older system is lowpowermode, which has no 2" {
  export NAME=lowpowermode
  run "$BIN/power-mode.sh" apply 2
  [ "$status" -eq 1 ]
  [[ "$(field detail)" == *'offered: 0 1'* ]]
}

@test "without root and without a sudoers line nothing is written and nobody is asked" {
  export AS=501
  run "$BIN/power-mode.sh" apply 1
  [ "$status" -eq 4 ]
  [ "$(field state)" = needs_privilege ]
  [ "$(cat "$STATE/ac")" = 0 ]
  run "$BIN/wired-limit.sh" apply 98304
  [ "$status" -eq 4 ]
}

@test "a mode that macOS takes without doing it is exit 5" {
  fake pmset 'if [ "$1" = -g ]; then printf "AC Power:\n powermode            0\n"; fi'
  run "$BIN/power-mode.sh" apply 2
  [ "$status" -eq 5 ]
}

@test "wired limit: set and back; too much of the memory is refused" {
  run "$BIN/wired-limit.sh" apply 98304
  [ "$status" -eq 0 ]
  run "$BIN/wired-limit.sh" revert mib=0
  [ "$status" -eq 0 ]
  [ "$(cat "$STATE/wired")" = 0 ]
  run "$BIN/wired-limit.sh" apply 125000
  [ "$status" -eq 6 ]
  [ "$(cat "$STATE/wired")" = 0 ]
}

@test "wired limit: a panic of the last days is a reason to refuse" {
  : >"$TUNE_ROOT/Library/Logs/DiagnosticReports/Kernel-2026.panic"
  run "$BIN/wired-limit.sh" apply 98304
  [ "$status" -eq 6 ]
  [[ "$(field detail)" == '1 panic'* ]]
}

@test "QoS: a background priority is named with its cure, and cannot be set from below" {
  run "$BIN/qos.sh" verify pri=21
  [ "$status" -eq 0 ]
  export PRI=4
  run "$BIN/qos.sh" verify pri=21
  [ "$status" -eq 5 ]
  run "$BIN/qos.sh" facts
  [[ "$(field detail)" == *'ProcessType to Interactive'* ]]
  run "$BIN/qos.sh" apply pri=31
  [ "$status" -eq 6 ]
  unset PRI
  run "$BIN/qos.sh" apply pri=31
  [ "$status" -eq 3 ]
}

@test "thermal: level and limit are facts, and nothing can be set" {
  run "$BIN/thermal.sh" status
  [ "$(field value)" = level=0,cpu_limit=100 ]
  run "$BIN/thermal.sh" verify level=0
  [ "$status" -eq 0 ]
  run "$BIN/thermal.sh" apply level=0
  [ "$status" -eq 3 ]
}

@test "off a Mac every one of them is unsupported" {
  rm "$FAKE"/*
  fake sysctl 'exit 1'
  for script in power-mode wired-limit qos thermal; do
    run "$BIN/$script.sh" status
    [ "$status" -eq 3 ]
    [ "$(field state)" = unsupported ]
  done
}
