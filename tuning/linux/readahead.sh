#!/bin/sh
# Summary: how far the kernel reads ahead of a program on one disk (Linux), and in which order it serves the disk
# Usage:   readahead.sh VERB ITEM [VALUE], VERB: status | apply | verify | revert | facts; `facts` alone lists the items
#
# ITEM is a disk (nvme0n1) or one of its partitions (nvme0n1p2), which stands for the disk. Keys: kib (a bare NUMBER), scheduler.
# Contract, exit codes and TUNE_ROOT: ../lib.sh
set -eu

# shellcheck source=../lib.sh
. "${0%"${0##*/}"}../lib.sh"

# shellcheck disable=SC2034 # lib.sh reads them
ITEMS=yes KEYS='kib scheduler' BARE=kib RIVALS='tuned tlp'
BLOCK=$TUNE_ROOT/sys/block

disks() {
  for folder in "$BLOCK"/*; do
    if [ -r "$folder/queue/read_ahead_kb" ]; then printf '%s\n' "${folder##*/}"; fi
  done
}

check_item() {
  case $ITEM in */*) usage ;; esac
  for part in "$BLOCK"/*/"$ITEM"; do
    if [ -e "$part/partition" ]; then
      part=${part%/*}
      ITEM=${part##*/}
    fi
  done
}

key_file() {
  case $1 in
    kib) file=$BLOCK/$ITEM/queue/read_ahead_kb ;;
    scheduler) file=$BLOCK/$ITEM/queue/scheduler ;;
  esac
}

key_words() {
  [ "$1" = scheduler ] || return 0
  key_file "$1"
  get_choices "$file"
  words=$word
}

supported() { if [ -z "$ITEM" ]; then [ -n "$(disks)" ]; else has kib -; fi; }
unsupported_because() { printf 'no disk %s here' "$ITEM"; }
offers() {
  json_list "$(disks)"
  if [ -z "$ITEM" ]; then printf '{"items":%s}' "$list"; else printf '{}'; fi
}

case ${0##*/} in readahead.sh) tuning_main "$@" ;; esac
