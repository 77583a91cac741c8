#!/bin/sh
# Summary: one label for each document; the labels are yours
# Usage:   labels.sh [OVERRIDE...]         e.g. labels.sh input=FOLDER 'job.labels=[letter,invoice,other]'
set -eu
exec runner job=classify 'job.labels=[science,history,everyday]' "$@"
