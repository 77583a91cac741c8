#!/usr/bin/env bash
# Summary: Debian source packages that tests read, unpacked, from the sources that apt has for binaries.
# Usage:   tests/sources.sh FOLDER PACKAGE...
#          Prints FOLDER/PACKAGE:FOLDER/PACKAGE when all are there, else why not on stderr and exits 1. What is there is not
#          fetched again; nothing else of the system is changed (its package lists neither).
set -euo pipefail

absent() {
  echo "source packages: skipped, $*" >&2
  exit 1
}

fetch() { # folder package: unpacks beside it first, so that a folder that is there is whole
  local folder=$1 package=$2 work=$1/.$2
  rm -rf "$work"
  mkdir -p "$work/lists" "$work/unpacked" "$work/parts"
  cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed 's/^Types:.*/Types: deb-src/' >"$work/parts/all.sources" || true
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | sed -n 's/^deb /deb-src /p' >"$work/parts/all.list" || true
  local apt=(apt-get -qq -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$work/parts" -o "Dir::State::Lists=$work/lists")
  (cd "$work" && timeout 120 "${apt[@]}" update && timeout 300 "${apt[@]}" source --download-only "$package") >/dev/null 2>&1 ||
    absent "apt-get source $package gives nothing here"
  tar -xf "$(find "$work" -maxdepth 1 -name "${package}_*.orig.tar.*" ! -name '*.asc')" -C "$work/unpacked"
  mv "$work/unpacked" "$folder/$package"
  rm -rf "$work"
}

main() {
  local folder=$1 names=() package
  shift
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd)
  for package in "$@"; do
    names+=("$folder/$package")
    [ -d "$folder/$package" ] && continue
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then absent 'no apt-get for root here'; fi
    fetch "$folder" "$package"
  done
  local IFS=:
  echo "${names[*]}"
}

main "$@"
