#!/usr/bin/env python3
"""Proves that a snippet is refused by the compiler, and only for the mistake it shows.

usage: must_not_compile.py FILE -- COMPILER FLAG...

FILE must not compile; with -DCONTROL, which swaps the mistake for its correct twin, it must:

    #ifdef CONTROL
    auto sum = Tokens{1} + Tokens{2};
    #else
    auto sum = Tokens{1} + Joules{2};
    #endif
"""
import subprocess
import sys


def main() -> int:
    if len(sys.argv) < 4 or sys.argv[2] != "--":
        print(__doc__, file=sys.stderr)
        return 2
    snippet, command = sys.argv[1], sys.argv[3:] + ["-fsyntax-only"]

    control = subprocess.run(command + ["-DCONTROL", snippet], capture_output=True, text=True)
    if control.returncode != 0:
        print(f"{snippet}: the control (-DCONTROL) does not compile:\n{control.stderr}")
        return 1
    mistake = subprocess.run(command + [snippet], capture_output=True, text=True)
    if mistake.returncode == 0:
        print(f"{snippet}: compiles, but must not")
        return 1
    print(next(line for line in mistake.stderr.splitlines() if "error" in line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
