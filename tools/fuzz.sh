#!/usr/bin/env bash
# Fuzzes the readers of files with clang's libFuzzer, FUZZ_SECONDS each, one after the other; names after the
# command fuzz only these. What it learns stays in build/fuzz/corpus; a finding is kept in build/fuzz/findings and
# ends with status 1. To look at one: build/fuzz/fuzz/fuzz_NAME FILE.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-300}
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(trace scenario profile points gguf target requirements cases usage)
if ! command -v clang++ >/dev/null; then
  echo "fuzz: needs clang (apt-get install clang)" >&2
  exit 1
fi

mkdir -p build
cmake --preset fuzz >build/fuzz.log || { cat build/fuzz.log; exit 1; }
cmake --build --preset fuzz -j "${JOBS:-$(nproc)}" --target "${targets[@]/#/fuzz_}"

status=0
for target in "${targets[@]}"; do
  corpus=build/fuzz/corpus/$target findings=build/fuzz/findings/$target
  mkdir -p "$corpus" "$findings"
  options=(-max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1
    -artifact_prefix="$findings/")
  [ -f "tests/fuzz/$target.dict" ] && options+=(-dict="tests/fuzz/$target.dict")
  if build/fuzz/fuzz/fuzz_"$target" "${options[@]}" "$corpus" "tests/fuzz/corpus/$target" 2>"build/fuzz/$target.log"; then
    echo "fuzz $target: no finding in $(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$target.log") runs, $seconds s"
  else
    tail -n 40 "build/fuzz/$target.log"
    echo "fuzz $target: a finding, kept in $findings (whole log: build/fuzz/$target.log)"
    status=1
  fi
done
exit $status
