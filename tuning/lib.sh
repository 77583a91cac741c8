# shellcheck shell=sh
# Summary: the contract of every tuning script: verbs, one JSON line, exit codes. Sourced by the scripts, never run.
#
# Contract: SCRIPT status | apply VALUE | verify VALUE | revert TOKEN | facts
#           with ITEMS=yes (one script, many settings): SCRIPT VERB ITEM [VALUE], and `facts` alone
#   stdout    one JSON line {"step","state","value","detail","touches","sides","lasting"}; `facts` adds "offers"
#   step      the script's name, with an item `name:item`; the item may come back in another spelling: that one names it for good
#   value     what is set now, in the script's own notation; the value of `status` is the token that `revert` takes
#   touches   paths that change along with the step without being asked to, and go back with it or not
#   sides     keys of the value that the kernel may set to something else than was asked, or by itself along with another key
#   lasting   true when the setting outlives a restart of the machine
#   exit code 0 ok, 1 failed, 2 usage, 3 unsupported here, 4 needs privilege, 5 value differs, 6 conflict with another owner
#   TUNE_ROOT a folder that stands for / (tests); empty on a real machine
#
# A script keeps no state, never asks for a password, writes only after it has seen that it may write everything, and always
# reads back. Order, journal, lock and guard belong to the runner: a shell cannot fsync.
#
# VALUE and TOKEN are comma-separated: KEY=WORD, KEY.PLACE=WORD for one place, a bare WORD for the script's main key.
# A script sets KEYS and BARE, defines key_file and what else differs from the rest (below), and calls: tuning_main "$@"

: "${TUNE_ROOT:=}"
STEP=${0##*/}
STEP=${STEP%.sh}
ITEM=''
ITEMS=no
RIVALS=''
KEYS=''  # in the order of the token
ORDER='' # in the order of writing, where it is another
BARE=''  # the key that a bare word is for
ONE_PLACE=yes # `no` in a script that defines places

usage() { # the header of the script that was called; usage errors end here
  sed -n 's/^# \{0,1\}\(Summary:\)/\1/p; s/^# \{0,1\}\(Usage:\)/\1/p' "$0" >&2
  exit 2
}

json_text() { # TEXT: escaped for a JSON string; control characters become spaces
  case $1 in
    *[!A-Za-z0-9_.,:=/\ -]*) printf '%s' "$1" | tr '\000-\037' ' ' | sed 's/\\/\\\\/g; s/"/\\"/g' ;;
    *) printf '%s' "$1" ;; # no process for what needs none: the guard waits for these calls
  esac
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
  touched='[]' beside='[]'
  if [ "$1" != unsupported ]; then
    touched=$(touches | json_list)
    beside=$(sides | json_list)
  fi
  printf '{"step":"%s","state":"%s","value":"%s","detail":"%s","touches":%s,"sides":%s,"lasting":%s%s}\n' \
    "$STEP${ITEM:+:$ITEM}" "$1" "$(json_text "$2")" "$(json_text "$3")" "$touched" "$beside" "$(lasting)" "${5:+,\"offers\":$5}"
  exit "$4"
}

# ---- reading and writing -------------------------------------------------------------------------------------------------

# The guard waits for these scripts: the functions below set variables where that saves a process.

get_word() { # FILE: its first line in $word; nothing when it cannot be read
  word=
  case $1 in
    # A read at an offset finds nothing in /proc/sys, and sh reads byte by byte: 60 would be 6.
    */proc/sys/*) word=$(cat "$1" 2>/dev/null) || : ;;
    *) if [ -r "$1" ]; then IFS= read -r word 2>/dev/null <"$1" || :; fi ;;
  esac
}

get_selected() { # FILE: "always [madvise] never" -> madvise in $word; a plain value as it is
  get_word "$1"
  case $word in
    *'['*']'*) word=${word#*'['} word=${word%%']'*} ;;
  esac
}

read_word() {
  get_word "$1"
  printf '%s' "$word"
}

writable_number() { # WORD as it may be written back: 00000033 was printed in base 16, and would be read in base 8
  case $1 in
    0?*[!0-9a-f]* | 0[!0-9a-f]*) printf '%s' "$1" ;;
    0?*) printf '0x%s' "${1#"${1%%[!0]*}"}" ;;
    *) printf '%s' "$1" ;;
  esac
}

offered() { # WORD LIST: is WORD one of the words of LIST? An empty LIST offers everything (the kernel will judge)
  [ -n "$2" ] || return 0
  case " $2 " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

write_word() { # FILE WORD: the kernel takes a value in one step; a plain file of a fake root gets it by rename
  if [ -n "$TUNE_ROOT" ] && [ -f "$1" ] && [ ! -L "$1" ]; then
    text=$2
    case $(read_word "$1") in
      *'['*) # a choice: the bracket moves, as it does in the kernel
        text=
        for choice in $(read_word "$1" | tr -d '[]'); do
          if [ "$choice" = "$2" ]; then choice="[$choice]"; fi
          text="$text${text:+ }$choice"
        done
        ;;
    esac
    printf '%s\n' "$text" >"$1.new" && mv -f "$1.new" "$1"
  else
    { printf '%s\n' "$2" >"$1"; } 2>/dev/null
  fi
}

privileged() { # COMMAND...: as we are; where that is refused, by sudo, which fails rather than ask for a password
  "$@" 2>/dev/null || sudo -n -- "$@" 2>/dev/null
}

may_call() { # COMMAND that only root may use: may we, without a password?
  [ "$(id -u)" = 0 ] || sudo -n -l "$(command -v "$1")" >/dev/null 2>&1
}

each_part() { # VALUE: a line "KEY PLACE WORD" for every place that VALUE sets
  rest=$1,
  while [ -n "$rest" ]; do
    part=${rest%%,*} rest=${rest#*,}
    case $part in
      '') continue ;;
      *=*) name=${part%%=*} word=${part#*=} ;;
      *) name=$BARE word=$part ;;
    esac
    case $name in
      *.*) printf '%s %s %s\n' "${name%%.*}" "${name#*.}" "$word" ;;
      *) get_places "$name" && for place in $all_places; do printf '%s %s %s\n' "$name" "$place" "$word"; done ;;
    esac
  done
}

running_rival() { # a daemon of the list RIVALS that runs now: two owners would undo each other
  [ -n "$RIVALS" ] || return 0
  case " $RIVALS " in
    *' tlp '*) if [ -d "$TUNE_ROOT/run/tlp" ]; then printf 'TLP' && return 0; fi ;;
  esac
  for comm in "$TUNE_ROOT"/proc/[0-9]*/comm; do
    word=
    IFS= read -r word 2>/dev/null <"$comm" || continue # it ended meanwhile
    case " $RIVALS " in
      *" $word "*)
        printf '%s' "$word"
        return 0
        ;;
    esac
  done
}

# ---- what a script may define: KEYS and key_file, or KEYS and the three of has, read_at and write_at ---------------------------

places() { :; }               # KEY: with ONE_PLACE=no, where it is set, one name a line: each CPU policy, each power source
key_file() { return 1; }      # KEY PLACE: the file that holds it
key_words() { :; }            # KEY PLACE: the words it takes, separated by spaces; nothing = a number
takes_number() { case $1 in '' | *[!0-9a-fx]*) return 1 ;; esac }
check_item() { :; } # ITEM is set; may respell it, or end
touches() { :; }    # lines: paths
sides() { :; }      # lines: keys
lasting() { printf false; }
rival() { running_rival; } # another owner of these settings, or nothing
unsupported_because() { printf 'this machine has no such setting'; }

has() { # KEY PLACE
  file=$(key_file "$1" "$2") && [ -n "$file" ] && [ -r "$file" ]
}
read_at() {
  get_selected "$(key_file "$1" "$2")"
  printf '%s' "$word"
}
write_at() { write_word "$(key_file "$1" "$2")" "$3"; }
writable_at() { [ -w "$(key_file "$1" "$2")" ]; }
name_of() { # KEY PLACE: as a person knows it
  file=$(key_file "$1" "$2")
  printf '%s' "${file#"$TUNE_ROOT"}"
}

get_places() { # KEY: in $all_places
  if [ "$ONE_PLACE" = yes ]; then all_places=-; else all_places=$(places "$1"); fi
}

supported() { # some key is there
  for key in $KEYS; do
    get_places "$key"
    for place in $all_places; do
      if has "$key" "$place"; then return 0; fi
    done
  done
  return 1
}

offers() { # JSON
  out=
  for key in $KEYS; do
    get_places "$key"
    place=${all_places%%[!A-Za-z0-9_-]*}
    if [ -n "$place" ] && has "$key" "$place"; then
      out="$out${out:+,}\"$key\":$(key_words "$key" "$place" | tr ' ' '\n' | json_list)"
    fi
  done
  printf '{%s}' "$out"
}

read_value() { # the token; a key is named place by place only where the places differ
  token=
  for key in $KEYS; do
    one='' all='' mixed=no
    get_places "$key"
    for place in $all_places; do
      has "$key" "$place" || continue
      word=$(read_at "$key" "$place")
      [ -n "$word" ] || continue
      all="$all${all:+,}$key.$place=$word"
      if [ -n "$one" ] && [ "$one" != "$word" ]; then mixed=yes; fi
      one=$word
    done
    if [ $mixed = no ]; then all=${one:+$key=$one}; fi
    token="$token${token:+${all:+,}}$all"
  done
  printf '%s' "$token"
}

check_value() { # VALUE, and its PARTS: known keys, there, with a word that is offered; ends otherwise
  rest=$1,
  while [ -n "$rest" ]; do
    part=${rest%%,*} rest=${rest#*,}
    case $part in
      *=*)
        part=${part%%=*}
        offered "${part%%.*}" "$KEYS" || usage
        ;;
    esac
  done
  while read -r key place word; do
    [ -n "$key" ] || continue
    has "$key" "$place" || report failed "$(read_value)" "this machine has no $key to set at $place" 1
    words=
    if [ "$verb" != revert ]; then words=$(key_words "$key" "$place"); fi # a token is what was read
    if [ -n "$words" ]; then
      offered "$word" "$words" || report failed "$(read_value)" "$key $word is not offered here; offered: $words" 1
    else
      [ "$verb" = revert ] || takes_number "$word" || usage
    fi
  done <<LINES
$PARTS
LINES
}

may_write() { # VALUE: ends with `needs_privilege` unless every part of VALUE can be written
  while read -r key place word; do
    if [ -n "$word" ] && ! writable_at "$key" "$place"; then
      report needs_privilege "$(read_value)" "$(name_of "$key" "$place") is not writable for $(id -un)" 4
    fi
  done <<LINES
$PARTS
LINES
}

write_value() { # in the order of ORDER; what is so already is not written
  for wanted in ${ORDER:-$KEYS}; do
    while read -r key place word; do
      [ "$key" = "$wanted" ] || continue
      [ "$(read_at "$key" "$place")" = "$word" ] || write_at "$key" "$place" "$word" || return 1
    done <<LINES
$PARTS
LINES
  done
}

holds() { # VALUE: is every part of it set?
  while read -r key place word; do
    [ -z "$key" ] || [ "$(read_at "$key" "$place")" = "$word" ] || return 1
  done <<LINES
$PARTS
LINES
}

# ---- the verbs -----------------------------------------------------------------------------------------------------------

set_value() { # VERB VALUE: writes, reads back, reports
  may_write "$2"
  if ! write_value "$2"; then report failed "$(read_value)" "the system refused a part of $2" 1; fi
  now=$(read_value)
  holds "$2" || report differs "$now" "asked for $2" 5
  if [ "$1" = apply ]; then report applied "$now" "" 0; else report reverted "$now" "" 0; fi
}

take_item() { # VERB ITEM...: sets ITEM; `facts` may go without
  if [ "$1" = facts ] && [ $# -eq 1 ]; then return 0; fi
  ITEM=${2:-}
  case $ITEM in '' | *..* | *[!A-Za-z0-9_./@:-]*) usage ;; esac
  check_item
}

tuning_main() {
  verb=${1:-}
  case $verb in status | facts | apply | verify | revert) ;; *) usage ;; esac
  if [ "$ITEMS" = yes ]; then
    take_item "$@"
    [ $# -eq 1 ] || shift
  fi
  value=${2:-}
  case $verb in
    status | facts) [ $# -eq 1 ] || usage ;;
    *) if [ $# -ne 2 ] || [ -z "$value" ]; then usage; fi ;;
  esac
  case $value in *[!A-Za-z0-9_.,=+-]*) usage ;; esac
  supported || report unsupported "" "$(unsupported_because)" 3
  PARTS=$(each_part "$value") # once
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
