#!/bin/sh
# Summary: a short summary of every document of the example corpus, by the embedded model
# Usage:   summaries.sh [OVERRIDE...]      e.g. summaries.sh input=FOLDER +profile=linux_cpu
set -eu
exec runner job=summarize "$@"
