# `just` runs lint, types, layers and tests. The commands need `./test.sh` to have set up .venv once.

export PATH := justfile_directory() / ".venv/bin:" + env("PATH")

default: test

# Everything CI runs.
test *arguments: lint types layers service
    pytest -n 2 --dist loadscope {{ arguments }}

lint:
    ruff check .
    ruff format --check .

format:
    ruff check --fix .
    ruff format .

types:
    mypy

layers:
    lint-imports

# The core's tests only: about five seconds.
core:
    pytest tests/core

# The dhash service's own tests, in its own environment.
service:
    services/dhash/test.sh

# The lock files anew.
lock:
    scripts/lock.sh

# Documents that are made from the code.
docs:
    python -m guarded_rollout.cli.reference docs/reference
