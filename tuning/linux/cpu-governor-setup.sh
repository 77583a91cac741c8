#!/bin/sh
# Summary: clock policy of the CPUs (Linux): governor, energy preference (EPP, EPB), boost and the firmware's platform profile
# Usage:   cpu-governor-setup.sh status | apply VALUE | verify VALUE | revert TOKEN | facts
#
# Keys: governor (a bare WORD), epp, epb, boost (0 or 1), platform. The token of `status` names a policy only where they differ:
#   governor.policy0=powersave,governor.policy1=schedutil,boost=1
# The order of writing is that of ORDER: intel_pstate sets the EPP by itself when the governor becomes `performance`, and firmware
# moves EPP and EPB along with the platform profile. Contract, exit codes and TUNE_ROOT: ../lib.sh
set -eu

# shellcheck source=../lib.sh
. "${0%"${0##*/}"}../lib.sh"

# shellcheck disable=SC2034 # lib.sh reads them
KEYS='governor epp epb boost platform' ORDER='platform boost governor epp epb' BARE=governor ONE_PLACE=no SIDES='epp epb'
# shellcheck disable=SC2034
RIVALS='tuned power-profiles- power-profiles-daemon auto-cpufreq tlp thermald' # the kernel cuts a name at 15 characters
CPUS=$TUNE_ROOT/sys/devices/system/cpu
POLICIES=$CPUS/cpufreq
PLATFORM=$TUNE_ROOT/sys/firmware/acpi/platform_profile

policies='' # folder names, policy0 first; only those with a governor
for folder in "$POLICIES"/policy*; do
  if [ -r "$folder/scaling_governor" ]; then policies="$policies${policies:+ }${folder##*/}"; fi
done

places() {
  case $1 in
    platform | boost) all_places=- ;;
    *) all_places=$policies ;;
  esac
}

key_file() {
  case $1 in
    governor) file=$POLICIES/$2/scaling_governor ;;
    epp) file=$POLICIES/$2/energy_performance_preference ;;
    epb) file=$CPUS/cpu${2#policy}/power/energy_perf_bias ;; # a policy is named for its first CPU
    boost)
      file=$CPUS/intel_pstate/no_turbo
      [ -r "$file" ] || file=$POLICIES/boost
      ;;
    platform) file=$PLATFORM ;;
  esac
}

key_words() { # what the kernel says that it takes
  case $1 in
    governor) get_word "$POLICIES/$2/scaling_available_governors" ;;
    epp) get_word "$POLICIES/$2/energy_performance_available_preferences" ;;
    epb) word='0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15' ;;
    boost) word='0 1' ;;
    platform) get_word "${PLATFORM}_choices" ;;
  esac
  words=$word
}

takes_number() { [ -n "$1" ]; } # a kernel that lists no words judges by itself

turn() { # WORD for $file, in $word: no_turbo says the contrary of boost
  case $file:$1 in
    */no_turbo:0) word=1 ;;
    */no_turbo:1) word=0 ;;
    *) word=$1 ;;
  esac
}

read_at() {
  key_file "$1" "$2"
  get_selected "$file"
  turn "$word"
}

write_at() {
  key_file "$1" "$2"
  turn "$3"
  write_word "$file" "$word"
}

supported() { [ -n "$policies" ]; }

unsupported_because() {
  if [ -d "$CPUS" ]; then
    printf 'no cpufreq policy here (a virtual machine, or firmware that owns the clock)'
  else
    printf 'no /sys/devices/system/cpu here (not Linux)'
  fi
}

touches() { # boost moves the highest clock of every policy
  has boost - || return 0
  for policy in $policies; do
    if [ -r "$POLICIES/$policy/scaling_max_freq" ]; then
      touched="$touched${POLICIES#"$TUNE_ROOT"}/$policy/scaling_max_freq$NL"
    fi
  done
}

case ${0##*/} in cpu-governor-setup.sh) tuning_main "$@" ;; esac
