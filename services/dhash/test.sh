#!/usr/bin/env bash
# The service's own tests, in an environment of its own. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")"
uv=../../.venv/bin/uv
[ -x "$uv" ] || { echo "test.sh: run ./test.sh in the repository's root once: it sets up uv" >&2; exit 1; }
wanted=$(sha256sum requirements-dev.lock | cut -d' ' -f1)
if [ "$(cat .venv/.set-up 2>/dev/null)" != "$wanted" ]; then
  "$uv" venv --quiet --clear --python ../../.venv/bin/python .venv
  "$uv" pip install --quiet --python .venv/bin/python --require-hashes -r requirements-dev.lock
  # The source itself, as an editable install would put it there; no build is needed.
  pwd | sed 's#$#/src#' >"$(.venv/bin/python -c 'import site; print(site.getsitepackages()[0])')/dhash.pth"
  echo "$wanted" >.venv/.set-up
fi
.venv/bin/python -m mypy
exec .venv/bin/python -m pytest "$@"
