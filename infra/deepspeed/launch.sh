#!/usr/bin/env bash
# Trains one stage on every machine of a DeepSpeed-style hostfile (lines "HOST slots=N"), over ssh.
#   infra/deepspeed/launch.sh HOSTFILE STAGE [PORT]
# The workspace must be shared (same path everywhere) and its environment set up; run this on the first host.
# `ranks` of the stage counts all slots together. When a machine is lost the job ends; start this again and it
# goes on from the last checkpoint.
set -euo pipefail
hostfile=${1:?hostfile}; stage=${2:?stage}; port=${3:-29500}
workspace=$(pwd)
mapfile -t hosts < <(awk 'NF && $1 !~ /^#/ {print $1}' "$hostfile")
[ "${#hosts[@]}" -gt 0 ] || { echo "error: $hostfile names no host" >&2; exit 2; }
joined=()
for host in "${hosts[@]:1}"; do
  ssh -o BatchMode=yes "$host" "cd '$workspace' && .venv/bin/syncdreamer join $stage" &
  joined+=($!)
done
status=0
SYNCDREAMER_NODES=${#hosts[@]} SYNCDREAMER_RENDEZVOUS="${hosts[0]}:$port" \
  .venv/bin/syncdreamer stage "$stage" || status=$?
for process in "${joined[@]}"; do wait "$process" || true; done
exit "$status"
