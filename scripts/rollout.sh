#!/usr/bin/env bash
# Set up what is missing, then `rollout` with these arguments. The documents' scripts call this.
set -euo pipefail
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/set-up.sh
if [ -f .venv/.set-up-requirements-dev.lock ]; then
  set_up requirements-dev.lock
else
  set_up requirements.lock
fi
rollout=$PWD/.venv/bin/rollout
cd "$here"
exec "$rollout" "$@"
