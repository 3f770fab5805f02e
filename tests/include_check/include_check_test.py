#!/usr/bin/env python3
"""include_check.py must name exactly the lines of planted/ that end in `// violation: <rule>`."""
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TOP = HERE.parent.parent
PLANTED = HERE / "planted"
RULES = {"layer", "factory", "third-party", "pure", "path"}


def expected() -> set[tuple[str, int, str]]:
    marked = set()
    for path in PLANTED.rglob("*.*"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            mark = re.search(r"// violation: (\S+)", line)
            if mark:
                marked.add((str(path), number, mark[1]))
    return marked


def reported() -> set[tuple[str, int, str]]:
    run = subprocess.run(
        [sys.executable, TOP / "tools/include_check.py", "--layers", TOP / "cmake/layers.txt", PLANTED],
        capture_output=True, text=True)
    if run.returncode != 1:
        sys.exit(f"include_check.py exited with {run.returncode}, not 1:\n{run.stdout}{run.stderr}")
    found = set()
    for line in run.stdout.splitlines():
        file, number, rule = re.match(r"(.+?):(\d+): \[(\S+)\] ", line).groups()
        found.add((file, int(number), rule))
    return found


def main() -> int:
    planted, found = expected(), reported()
    unproved = RULES - {rule for _, _, rule in planted}
    if unproved:
        print(f"no violation is planted for: {', '.join(sorted(unproved))}")
    for missed in sorted(planted - found):
        print(f"{missed[0]}:{missed[1]}: planted [{missed[2]}] was not found")
    for wrong in sorted(found - planted):
        print(f"{wrong[0]}:{wrong[1]}: [{wrong[2]}] was reported, but is no violation")
    return 0 if planted == found and not unproved else 1


if __name__ == "__main__":
    sys.exit(main())
