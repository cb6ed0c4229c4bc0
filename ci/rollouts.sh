#!/usr/bin/env bash
# Move the rollouts of the services in $ROLLOUTS, separated by spaces, of the stack $STACK, side by side, for at most
# $ROLLOUT_TIMEOUT (by default 50m). A rollout that an earlier job began goes on from where it is. Exits with
#   0  all are completed, or have nothing to move
#   7  one was taken back
#   8  one has not ended: run the job again
# or with the code of the first one that failed otherwise.
set -euo pipefail

timeout=${ROLLOUT_TIMEOUT:-50m}
read -ra services <<<"${ROLLOUTS:-}"
if ((${#services[@]} == 0)); then
    echo "ROLLOUTS names no service" >&2
    exit 0
fi
processes=()
for service in "${services[@]}"; do
    canary rollout start "$service" --stack "$STACK" --timeout "$timeout" > >(sed -u "s/^/$service: /") 2>&1 &
    processes+=($!)
done
# A job that is cancelled ends what it has begun; the rollouts stay where they are.
trap 'kill "${processes[@]}" 2>/dev/null || true' TERM INT
result=0
for process in "${processes[@]}"; do
    code=0
    wait "$process" || code=$?
    while ((code > 128)) && kill -0 "$process" 2>/dev/null; do # a signal has ended the wait, not the process
        code=0
        wait "$process" || code=$?
    done
    if ((code == 7 || (code != 0 && (result == 0 || (result == 8 && code != 8))))); then
        result=$code
    fi
done
case $result in
    7) echo "a release was taken back: see above; the old version has all of its requests" >&2 ;;
    8) echo "not every rollout has ended: run this job again, which goes on" >&2 ;;
esac
exit "$result"
