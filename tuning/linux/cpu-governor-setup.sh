#!/bin/sh
# Summary: clock policy of the CPUs (Linux cpufreq): governor, energy preference (EPP) and boost, restored exactly by its token
# Usage:   cpu-governor-setup.sh status | apply VALUE | verify VALUE | revert TOKEN | facts
#
# VALUE and TOKEN are comma-separated: governor=WORD, epp=WORD, boost=0|1; `KEY.policyN=WORD` for one policy; a bare WORD means
# governor=WORD. The token of `status` names a policy only where the policies differ:
#   governor.policy0=powersave,governor.policy1=schedutil,boost=1
# Order of writing is boost, governor, EPP, because intel_pstate sets the EPP by itself when the governor becomes `performance`.
# Contract, exit codes and TUNE_ROOT: ../lib.sh
set -eu

# shellcheck disable=SC2034 # lib.sh prints it
STEP=governor
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

CPUS=$TUNE_ROOT/sys/devices/system/cpu
POLICIES=$CPUS/cpufreq

policies() { # folder names, policy0 first; only those with a governor
  for folder in "$POLICIES"/policy*; do
    if [ -r "$folder/scaling_governor" ]; then printf '%s\n' "${folder##*/}"; fi
  done
}

supported() { [ -n "$(policies)" ]; }

unsupported_because() {
  if [ -d "$CPUS" ]; then
    printf 'no cpufreq policy here (a virtual machine, or firmware that owns the clock)'
  else
    printf 'no /sys/devices/system/cpu here (not Linux)'
  fi
}

key_file() { # KEY POLICY: the file, or nothing when this machine lacks it
  case $1 in
    governor) file=$POLICIES/$2/scaling_governor ;;
    epp) file=$POLICIES/$2/energy_performance_preference ;;
    boost) if [ -r "$CPUS/intel_pstate/no_turbo" ]; then file=$CPUS/intel_pstate/no_turbo; else file=$POLICIES/boost; fi ;;
    *) return 1 ;;
  esac
  if [ -r "$file" ]; then printf '%s' "$file"; fi
}

inverted() { # FILE WORD: no_turbo says the contrary of boost
  case $1:$2 in
    */no_turbo:0) printf 1 ;;
    */no_turbo:1) printf 0 ;;
    *) printf '%s' "$2" ;;
  esac
}

read_part() { # KEY: its part of the token; one word when all policies agree
  one='' all='' mixed=no
  for policy in $(policies); do
    file=$(key_file "$1" "$policy")
    [ -n "$file" ] || continue
    word=$(selected "$file")
    all="$all${all:+,}$1.$policy=$word"
    if [ -n "$one" ] && [ "$one" != "$word" ]; then mixed=yes; fi
    one=$word
  done
  if [ $mixed = yes ]; then printf '%s' "$all"; elif [ -n "$one" ]; then printf '%s=%s' "$1" "$one"; fi
}

read_value() {
  token=$(read_part governor)
  epp=$(read_part epp)
  boost_file=$(key_file boost '')
  printf '%s%s' "$token" "${epp:+,$epp}"
  if [ -n "$boost_file" ]; then printf ',boost=%s' "$(inverted "$boost_file" "$(read_word "$boost_file")")"; fi
}

parts_of() { # VALUE KEY: "FILE WORD" lines for the parts of VALUE that set KEY; fails on a part that no file here can take
  for part in $(printf '%s' "$1" | tr ',' ' '); do
    case $part in
      *=*) name=${part%%=*} word=${part#*=} ;;
      *) name=governor word=$part ;;
    esac
    [ "${name%%.*}" = "$2" ] || continue
    case $name in
      boost) where=- ;;
      *.policy*) where=${name#*.} ;;
      *) where=$(policies) ;;
    esac
    for policy in $where; do
      file=$(key_file "$2" "$policy")
      [ -n "$file" ] || return 1
      printf '%s %s\n' "$file" "$(inverted "$file" "$word")"
    done
  done
}

targets() { # VALUE: the files it writes
  for key in boost governor epp; do
    parts_of "$1" "$key" | cut -d ' ' -f 1
  done
}

choices() { # FILE: the words the kernel offers for it, when it says so
  case $1 in
    */scaling_governor) read_word "${1%/*}/scaling_available_governors" ;;
    */energy_performance_preference) read_word "${1%/*}/energy_performance_available_preferences" ;;
    *) printf '0 1' ;;
  esac
}

check_value() { # VALUE: every part has a known key, a file here and a word that this machine offers; ends otherwise
  for part in $(printf '%s' "$1" | tr ',' ' '); do
    case $part in
      governor=?* | governor.policy*=?* | epp=?* | epp.policy*=?* | boost=[01]) ;;
      *=* | *.*) usage ;;
    esac
  done
  for key in boost governor epp; do
    lines=$(parts_of "$1" "$key") || report failed "$(read_value)" "this machine has no $key to set, or no such policy" 1
    while read -r file word; do
      [ -n "$file" ] || continue
      words=$(choices "$file")
      offered "$word" "$words" || report failed "$(read_value)" "$key $word is not offered here; offered: $words" 1
    done <<LINES
$lines
LINES
  done
}

write_value() {
  for key in boost governor epp; do
    while read -r file word; do
      [ -z "$file" ] || [ "$(selected "$file")" = "$word" ] || write_word "$file" "$word" || return 1
    done <<LINES
$(parts_of "$1" "$key")
LINES
  done
}

holds() {
  for key in boost governor epp; do
    while read -r file word; do
      [ -z "$file" ] || [ "$(selected "$file")" = "$word" ] || return 1
    done <<LINES
$(parts_of "$1" "$key")
LINES
  done
}

touches() { # boost moves the highest clock of every policy
  [ -n "$(key_file boost '')" ] || return 0
  for policy in $(policies); do
    if [ -r "$POLICIES/$policy/scaling_max_freq" ]; then printf '%s\n' "${POLICIES#"$TUNE_ROOT"}/$policy/scaling_max_freq"; fi
  done
}

offers() {
  first=$(policies | head -n 1)
  governors=$(choices "$POLICIES/$first/scaling_governor" | tr ' ' '\n' | json_list)
  preferences=$(choices "$POLICIES/$first/energy_performance_preference" | tr ' ' '\n' | json_list)
  if [ -n "$(key_file boost '')" ]; then boosts='["0","1"]'; else boosts='[]'; fi
  printf '{"driver":"%s","governor":%s,"epp":%s,"boost":%s}' \
    "$(json_text "$(read_word "$POLICIES/$first/scaling_driver")")" "$governors" "$preferences" "$boosts"
}

rival() { # daemons that write the same files; two owners would undo each other
  if [ -d "$TUNE_ROOT/run/tlp" ]; then
    printf 'TLP'
    return 0
  fi
  for comm in "$TUNE_ROOT"/proc/[0-9]*/comm; do
    case $(read_word "$comm") in
      tuned | power-profiles-* | auto-cpufreq | tlp | thermald)
        read_word "$comm"
        return 0
        ;;
    esac
  done
}

case ${0##*/} in cpu-governor-setup.sh) tuning_main "$@" ;; esac
