#!/usr/bin/env bash
# Set up what is missing, then every check and every test. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")"
. scripts/set-up.sh
need unzip unzip
[ "$(uname -s)" = Darwin ] || need systemd-analyze systemd
[ "$(uname -s)" = Darwin ] || need /usr/sbin/pgbouncer pgbouncer
need node nodejs
need ssh-keygen openssh-client
need jq jq
set_up requirements-dev.lock
exec .venv/bin/just test "$@"
