# shellcheck shell=sh
# Summary: the contract of every tuning script: verbs, one JSON line, exit codes. Sourced by the scripts, never run.
#
# Contract: SCRIPT status | apply VALUE | verify VALUE | revert TOKEN | facts
#   stdout    one JSON line {"step","state","value","detail","touches"}; `facts` adds "offers"
#   value     what is set now, in the script's own notation; the value of `status` is the token that `revert` takes
#   touches   paths that change along with the step without being asked to
#   exit code 0 ok, 1 failed, 2 usage, 3 unsupported here, 4 needs privilege, 5 value differs, 6 conflict with another owner
#   TUNE_ROOT a folder that stands for / (tests); empty on a real machine
#
# A script keeps no state, asks for no privilege, writes only after it has seen that it may write everything, and always reads
# back. Order, journal, lock and guard belong to the runner: a shell cannot fsync.
#
# A script sets STEP and defines: supported, unsupported_because, read_value, check_value VALUE (ends unless VALUE can be meant
# here), targets VALUE (files that VALUE writes), write_value VALUE, holds VALUE (true when every part of VALUE is set), touches,
# offers (JSON), rival (names another owner of these settings, or prints nothing). Then it calls: tuning_main "$@"

: "${TUNE_ROOT:=}"

usage() { # the header of the script that was called; usage errors end here
  sed -n 's/^# \{0,1\}\(Summary:\)/\1/p; s/^# \{0,1\}\(Usage:\)/\1/p' "$0" >&2
  exit 2
}

json_text() { # TEXT: escaped for a JSON string; control characters become spaces
  printf '%s' "$1" | tr '\000-\037' ' ' | sed 's/\\/\\\\/g; s/"/\\"/g'
}

json_list() { # lines on stdin: a JSON list of strings
  list=
  while IFS= read -r line || [ -n "$line" ]; do
    [ -n "$line" ] || continue
    list="$list${list:+,}\"$(json_text "$line")\""
  done
  printf '[%s]' "$list"
}

report() { # STATE VALUE DETAIL EXIT_CODE [OFFERS]: the one line, and the end
  if [ "$1" = unsupported ]; then touched='[]'; else touched=$(touches | json_list); fi
  printf '{"step":"%s","state":"%s","value":"%s","detail":"%s","touches":%s%s}\n' \
    "$STEP" "$1" "$(json_text "$2")" "$(json_text "$3")" "$touched" "${5:+,\"offers\":$5}"
  exit "$4"
}

read_word() { # FILE: its first line; nothing when it cannot be read
  word=
  if [ -r "$1" ]; then IFS= read -r word <"$1" 2>/dev/null || :; fi
  printf '%s' "$word"
}

selected() { # FILE: "always [madvise] never" -> madvise; a plain value as it is
  word=$(read_word "$1")
  case $word in
    *'['*']'*) word=${word#*'['} word=${word%%']'*} ;;
  esac
  printf '%s' "$word"
}

offered() { # WORD LIST: is WORD one of the words of LIST? An empty LIST offers everything (the kernel will judge)
  [ -n "$2" ] || return 0
  case " $2 " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

write_word() { # FILE WORD: the kernel takes a value in one step; a plain file of a fake root gets it by rename
  if [ -n "$TUNE_ROOT" ] && [ -f "$1" ] && [ ! -L "$1" ]; then
    printf '%s\n' "$2" >"$1.new" && mv -f "$1.new" "$1"
  else
    { printf '%s\n' "$2" >"$1"; } 2>/dev/null
  fi
}

may_write() { # VALUE: ends with `needs_privilege` unless every file of VALUE is writable
  denied=
  for file in $(targets "$1"); do
    if [ ! -w "$file" ]; then
      denied=$file
      break
    fi
  done
  [ -z "$denied" ] || report needs_privilege "$(read_value)" "${denied#"$TUNE_ROOT"} is not writable for $(id -un)" 4
}

set_value() { # VERB VALUE: writes, reads back, reports
  may_write "$2"
  if ! write_value "$2"; then report failed "$(read_value)" "the kernel refused a part of $2" 1; fi
  now=$(read_value)
  holds "$2" || report differs "$now" "asked for $2" 5
  if [ "$1" = apply ]; then report applied "$now" "" 0; else report reverted "$now" "" 0; fi
}

tuning_main() {
  verb=${1:-}
  value=${2:-}
  case $verb in
    status | facts) [ $# -eq 1 ] || usage ;;
    apply | verify | revert) if [ $# -ne 2 ] || [ -z "$value" ]; then usage; fi ;;
    *) usage ;;
  esac
  case $value in *[!A-Za-z0-9_.,=-]*) usage ;; esac
  supported || report unsupported "" "$(unsupported_because)" 3
  [ -z "$value" ] || check_value "$value"
  case $verb in
    status) report ok "$(read_value)" "" 0 ;;
    facts) report ok "$(read_value)" "$(rival)" 0 "$(offers)" ;;
    apply)
      owner=$(rival)
      [ -z "$owner" ] || report conflict "$(read_value)" "$owner owns these settings; stop it, or leave the step to it" 6
      set_value apply "$value"
      ;;
    revert) set_value revert "$value" ;;
    verify)
      if holds "$value"; then report ok "$(read_value)" "" 0; fi
      report differs "$(read_value)" "expected $value" 5
      ;;
  esac
}
