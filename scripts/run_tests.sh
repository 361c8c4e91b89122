#!/usr/bin/env bash
# Sets everything up, then checks style and types and runs the tests; what CI runs.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:-}" = "--help" ] || [ "${1:-}" = "-h" ]; then
    cat <<'HELP'
Usage: scripts/run_tests.sh [pytest arguments]

Sets up .venv with requirements.txt, requirements-dev.txt and requirements-cluster.txt, then runs ruff, mypy and pytest.

Examples:
  scripts/run_tests.sh                      everything
  scripts/run_tests.sh tests/test_api.py    one file
  scripts/run_tests.sh -k search -x         what has "search" in its name, up to the first failure

Without arguments two processes share the files of tests; with arguments it is plain pytest.

Prometheus, Alertmanager and the node exporter, which some tests need, are unpacked from Debian's packages where they are
not installed and these can be had.
Tests on real data look for it in ../shared/data or RECSYS_TEST_DATA, and skip where there is none, unless CI=true.
HELP
    exit 0
fi

source scripts/setup_venv.sh
source scripts/setup_servers.sh
setup_venv requirements.txt requirements-dev.txt requirements-cluster.txt
setup_servers prometheus prometheus-alertmanager prometheus-node-exporter

.venv/bin/python -m ruff check .
.venv/bin/python -m mypy
[ $# -gt 0 ] || set -- --numprocesses 2 --dist loadfile
exec .venv/bin/python -m pytest "$@"
