#!/usr/bin/env bash
# Set up what is missing, then one guarded deployment:
#   ./quick-deploy.sh development
#   ./quick-deploy.sh --env production [--skip-backup] [any option of `rollout deploy`]
set -euo pipefail
cd "$(dirname "$0")"
. scripts/set-up.sh

# Only the first word can be the environment: any later one may be the value of an option.
named="" option="" rest=()
case "${1-}" in
  "" | -*) ;;
  *) named=$1; shift ;;
esac
while [ $# -gt 0 ]; do
  case "$1" in
    --env) option=${2:-}; shift 2 || missing "--env needs an environment" "./quick-deploy.sh --env development" ;;
    --env=*) option=${1#--env=}; shift ;;
    *) rest+=("$1"); shift ;;
  esac
done
if [ -n "$named" ] && [ -n "$option" ] && [ "$named" != "$option" ]; then
  missing "two environments: $named and $option" "name one: ./quick-deploy.sh $named"
fi
environment=${option:-$named}
case " ${rest[*]-} " in
  *" --help "* | *" -h "*) environment=${environment:-development} ;;
esac
[ -n "$environment" ] || missing "which environment?" "name it first: ./quick-deploy.sh development"

exec scripts/rollout.sh deploy --env "$environment" ${rest[@]+"${rest[@]}"}
