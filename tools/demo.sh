#!/usr/bin/env bash
# What `make demo` runs once the build stands: a mixed fleet under real clients, then the same arrivals simulated.
set -euo pipefail
cd "$(dirname "$0")/.."
exec node tools/demo/demo.mjs "$@"
