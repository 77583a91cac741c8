#!/bin/sh
# Summary: question-answer pairs for fine-tuning, also written as chat lines (chat.jsonl in the run's folder)
# Usage:   questions.sh [OVERRIDE...]      e.g. questions.sh input=FOLDER model=qwen3-1.7b
set -eu
exec runner job=qa "$@"
