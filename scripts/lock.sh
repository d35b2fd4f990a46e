#!/usr/bin/env bash
# Write the lock files anew: every package pinned with its hashes, no addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links "$@"
}
compile pyproject.toml --group build --output-file requirements.lock
compile pyproject.toml --group dev --output-file requirements-dev.lock
