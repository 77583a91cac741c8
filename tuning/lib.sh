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
# A script sets KEYS and BARE (SIDES, LASTING), defines key_file and what else differs from the rest (below), and calls: tuning_main "$@"

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
SIDES=''      # keys, as above
LASTING=false # as above
NL='
'

usage() { # the header of the script that was called; usage errors end here
  sed -n 's/^# \{0,1\}\(Summary:\)/\1/p; s/^# \{0,1\}\(Usage:\)/\1/p' "$0" >&2
  exit 2
}

# The guard waits for these scripts, and a process costs more than all the rest: functions below answer in a variable, named where
# they are defined, and not by printing, which takes a subshell.

json_text() { # TEXT: escaped for a JSON string, in $escaped; control characters become spaces
  case $1 in
    *[!A-Za-z0-9_.,:=/\ -]*) escaped=$(printf '%s' "$1" | tr '\000-\037' ' ' | sed 's/\\/\\\\/g; s/"/\\"/g') ;;
    *) escaped=$1 ;;
  esac
}

json_list() { # LINES: a JSON list of strings, in $list
  list='' lines=$1$NL
  while [ -n "$lines" ]; do
    line=${lines%%"$NL"*} lines=${lines#*"$NL"}
    [ -n "$line" ] || continue
    json_text "$line"
    list="$list${list:+,}\"$escaped\""
  done
  list="[$list]"
}

report() { # STATE VALUE DETAIL EXIT_CODE [OFFERS]: the one line, and the end
  touched='' beside='[]'
  if [ "$1" != unsupported ]; then
    touches
    json_words "$SIDES"
    beside=$list
  fi
  json_list "$touched"
  json_text "$2"
  said=$escaped
  json_text "$3"
  printf '{"step":"%s","state":"%s","value":"%s","detail":"%s","touches":%s,"sides":%s,"lasting":%s%s}\n' \
    "$STEP${ITEM:+:$ITEM}" "$1" "$said" "$escaped" "$list" "$beside" "$LASTING" "${5:+,\"offers\":$5}"
  exit "$4"
}

json_words() { # WORDS with blanks between: a JSON list of strings, in $list
  list=
  for each in $1; do
    json_text "$each"
    list="$list${list:+,}\"$escaped\""
  done
  list="[$list]"
}

# ---- reading and writing -------------------------------------------------------------------------------------------------

get_word() { # FILE: its first line in $word; nothing when it cannot be read
  word=
  case $1 in
    # A read at an offset finds nothing in /proc/sys, and sh reads byte by byte: 60 would be 6.
    /proc/sys/*) word=$(cat "$1" 2>/dev/null) || : ;;
    *) if [ -r "$1" ]; then IFS= read -r word 2>/dev/null <"$1" || :; fi ;;
  esac
}

get_selected() { # FILE: "always [madvise] never" -> madvise in $word; a plain value as it is
  get_word "$1"
  case $word in
    *'['*']'*) word=${word#*'['} word=${word%%']'*} ;;
  esac
}

get_choices() { # FILE: "always [madvise] never" -> "always madvise never" in $word
  get_word "$1"
  case $word in
    *'['*']'*) choice=${word#*'['} word="${word%%'['*}${choice%%']'*}${choice#*']'}" ;;
  esac
}

make_writable() { # the number in $word as it may be written back: 00000033 was printed in base 16, and would be read in base 8
  case $word in
    0?*[!0-9a-f]* | 0[!0-9a-f]*) ;;
    0?*) word=0x${word#"${word%%[!0]*}"} ;;
  esac
}

offered() { # WORD LIST: is WORD one of the words of LIST? An empty LIST offers everything (the kernel will judge)
  [ -n "$2" ] || return 0
  case " $2 " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

write_word() { # FILE WORD: the kernel takes a value in one step; a plain file of a fake root gets it by rename
  if [ -n "$TUNE_ROOT" ] && [ -f "$1" ] && [ ! -L "$1" ]; then
    text=$2
    get_word "$1"
    case $word in
      *'['*) # a choice: the bracket moves, as it does in the kernel
        get_choices "$1"
        text=
        for choice in $word; do
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

split_parts() { # VALUE: in $PARTS a line "KEY PLACE WORD" for every place that VALUE sets
  PARTS='' rest=$1,
  while [ -n "$rest" ]; do
    part=${rest%%,*} rest=${rest#*,}
    case $part in
      '') continue ;;
      *=*) name=${part%%=*} part=${part#*=} ;;
      *) name=$BARE ;;
    esac
    case $name in
      *.*) PARTS="$PARTS${name%%.*} ${name#*.} $part$NL" ;;
      *)
        get_places "$name"
        for place in $all_places; do PARTS="$PARTS$name $place $part$NL"; done
        ;;
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

places() { all_places=; }     # KEY: with ONE_PLACE=no, where it is set, in $all_places: each CPU policy, each power source
key_file() { return 1; }      # KEY PLACE: the file that holds it, in $file
key_words() { words=; }       # KEY PLACE: the words it takes, with blanks between, in $words; nothing = a number
takes_number() { case $1 in '' | *[!0-9a-fx]*) return 1 ;; esac }
check_item() { :; } # ITEM is set; may respell it, or end
touches() { :; }    # lines: paths, in $touched
rival() { running_rival; } # another owner of these settings, or nothing: printed
unsupported_because() { printf 'this machine has no such setting'; }

has() { # KEY PLACE
  file=
  key_file "$1" "$2" && [ -n "$file" ] && [ -r "$file" ]
}
read_at() { # KEY PLACE: in $word
  key_file "$1" "$2"
  get_selected "$file"
}
write_at() { # KEY PLACE WORD
  key_file "$1" "$2"
  write_word "$file" "$3"
}
writable_at() { key_file "$1" "$2" && [ -w "$file" ]; }
name_of() { # KEY PLACE: as a person knows it, printed
  key_file "$1" "$2"
  printf '%s' "${file#"$TUNE_ROOT"}"
}

get_places() { # KEY: in $all_places
  all_places=-
  if [ "$ONE_PLACE" = no ]; then places "$1"; fi
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

offers() { # JSON, printed
  out=
  for key in $KEYS; do
    get_places "$key"
    place=${all_places%%[!A-Za-z0-9_-]*}
    if [ -n "$place" ] && has "$key" "$place"; then
      words=
      key_words "$key" "$place"
      json_words "$words"
      out="$out${out:+,}\"$key\":$list"
    fi
  done
  printf '{%s}' "$out"
}

read_value() { # the token, in $token; a key is named place by place only where the places differ
  token=
  for key in $KEYS; do
    one='' all='' mixed=no
    get_places "$key"
    for place in $all_places; do
      has "$key" "$place" || continue
      read_at "$key" "$place"
      [ -n "$word" ] || continue
      all="$all${all:+,}$key.$place=$word"
      if [ -n "$one" ] && [ "$one" != "$word" ]; then mixed=yes; fi
      one=$word
    done
    if [ $mixed = no ]; then all=${one:+$key=$one}; fi
    token="$token${token:+${all:+,}}$all"
  done
}

report_now() { # STATE DETAIL EXIT_CODE [OFFERS]: with what is set now
  read_value
  report "$1" "$token" "$2" "$3" "${4:-}"
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
  while read -r key place wanted; do
    [ -n "$key" ] || continue
    has "$key" "$place" || report_now failed "this machine has no $key to set at $place" 1
    words=
    if [ "$verb" != revert ]; then key_words "$key" "$place"; fi # a token is what was read
    if [ -n "$words" ]; then
      offered "$wanted" "$words" || report_now failed "$key $wanted is not offered here; offered: $words" 1
    else
      [ "$verb" = revert ] || takes_number "$wanted" || usage
    fi
  done <<LINES
$PARTS
LINES
}

may_write() { # ends with `needs_privilege` unless every part can be written
  while read -r key place wanted; do
    if [ -n "$wanted" ] && ! writable_at "$key" "$place"; then
      report_now needs_privilege "$(name_of "$key" "$place") is not writable for $(id -un)" 4
    fi
  done <<LINES
$PARTS
LINES
}

write_value() { # in the order of ORDER; what is so already is not written
  for now in ${ORDER:-$KEYS}; do
    while read -r key place wanted; do
      [ "$key" = "$now" ] || continue
      read_at "$key" "$place"
      [ "$word" = "$wanted" ] || write_at "$key" "$place" "$wanted" || return 1
    done <<LINES
$PARTS
LINES
  done
}

holds() { # VALUE: is every part of it set?
  while read -r key place wanted; do
    [ -n "$key" ] || continue
    read_at "$key" "$place"
    [ "$word" = "$wanted" ] || return 1
  done <<LINES
$PARTS
LINES
}

# ---- the verbs -----------------------------------------------------------------------------------------------------------

set_value() { # VERB VALUE: writes, reads back, reports
  may_write
  if ! write_value; then report_now failed "the system refused a part of $2" 1; fi
  holds "$2" || report_now differs "asked for $2" 5
  if [ "$1" = apply ]; then report_now applied "" 0; else report_now reverted "" 0; fi
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
  split_parts "$value" # once
  [ -z "$value" ] || check_value "$value"
  case $verb in
    status) report_now ok "" 0 ;;
    facts)
      told=$(offers)
      report_now ok "$(rival)" 0 "$told"
      ;;
    apply)
      owner=$(rival)
      [ -z "$owner" ] || report_now conflict "$owner owns these settings; stop it, or leave the step to it" 6
      set_value apply "$value"
      ;;
    revert) set_value revert "$value" ;;
    verify)
      if holds "$value"; then report_now ok "" 0; fi
      report_now differs "expected $value" 5
      ;;
  esac
}
