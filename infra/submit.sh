#!/bin/sh
# Run a command as a Ray job and follow it; Ctrl-C stops the job too.
#
#   infra/submit.sh NAME COMMAND…
#
# On the embedded Ray a job of the same NAME that an earlier call left unfinished (its terminal was
# closed, it was killed) is stopped first. A Ray of your own gets this folder as its working directory.
set -eu
name=make-$1
shift
. "${SEMANIR_STACK_DIR:-.stack}/env"

where=
case " ${SEMANIR_STACK_SETS:-} " in
  *" RAY_ADDRESS:"*) python -m infra.local stop-jobs "$name-" ;;
  *) where="--working-dir ." ;;
esac

id=$name-$(date +%Y%m%d-%H%M%S)
# shellcheck disable=SC2086 # two words on purpose
ray job submit --submission-id "$id" $where -- "$@" &
follower=$!
trap 'trap "" INT TERM; kill "$follower" 2>/dev/null; ray job stop "$id"; exit 130' INT TERM
wait "$follower"
