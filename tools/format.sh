#!/usr/bin/env bash
# Lays out our C++ with clang-format; with --check, changes nothing and fails where it would. The planted
# files of tests stay as they are: their lines are the test.
set -euo pipefail
cd "$(dirname "$0")/.."

# Layout differs between versions; Debian 12 has 14.
if ! clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
  echo "format: needs clang-format 14 (apt-get install clang-format)" >&2
  exit 1
fi

mode=(-i)
[ "${1:-}" = --check ] && mode=(--dry-run --Werror)
folders=()
for folder in src tests bench cmake; do
  [ -d "$folder" ] && folders+=("$folder")
done
find "${folders[@]}" \( -name '*.cc' -o -name '*.h' \) -not -path '*/planted/*' -print0 |
  xargs -0 -r clang-format "${mode[@]}" --style=file
