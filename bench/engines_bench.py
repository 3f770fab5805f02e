#!/usr/bin/env python3
"""The static schedule beside libllama: one row a model, with all the machine has and with AVX2 at most.

usage: engines_bench.py MEDLEY FOLDER   (FOLDER keeps the models of random weights, 2 GB)

Each row is one run of `medley bench engines`, in which both take turns: compare within a row only.
"""
import json
import os
import subprocess
import sys

STORIES = os.path.join(os.environ.get("MEDLEY_SHARED", "../shared"), "models/stories260K.gguf")
SYNTHETIC = [("110m", "Q8_0"), ("110m", "Q4_0"), ("1.1b", "Q8_0"), ("1.1b", "Q4_0")]


def main() -> int:
    medley, folder = sys.argv[1:3]
    os.makedirs(folder, exist_ok=True)
    rows = []
    if os.path.exists(STORIES):
        rows += [("260K F32", STORIES, []), ("260K F32, F16 cache", STORIES, ["--half-kv"]),
                 ("260K F32, 2 threads", STORIES, ["--threads", "2"])]
    else:
        print(f"{STORIES} is not there (set MEDLEY_SHARED): without it", file=sys.stderr)
    for shape, form in SYNTHETIC:
        path = os.path.join(folder, f"{shape}-{form}.gguf")
        if not os.path.exists(path):
            subprocess.run([medley, "model", "synth", path, "--shape", shape, "--format", form], check=True)
        rows.append((f"{shape} {form}", path, []))
    for narrow in ([], ["--no-avx512"]):
        print("\nAVX2 at most" if narrow else "\nthe best instructions there are")
        print(f"{'model':<22}{'static us':>11}{'libllama us':>13}{'ratio':>7}{'GB/s':>7}{'of read':>9}"
              f"{'p99.9/p50':>11}{'libllama':>10}{'probe':>7}")
        for name, path, flags in rows:
            run = subprocess.run([medley, "bench", "engines", path, "-o", "json", *flags, *narrow],
                                 check=True, capture_output=True, text=True)
            result = json.loads(run.stdout)
            ours, theirs = (engine["token_us"] for engine in result["engines"])
            probe = result["probe"]["token_us"]
            rate = result["engines"][0]["weights_gb_per_s"]
            tail = [t["p999"] / t["p50"] for t in (ours, theirs, probe)]
            print(f"{name:<22}{ours['p50']:>11.1f}{theirs['p50']:>13.1f}{theirs['p50'] / ours['p50']:>7.2f}"
                  f"{rate:>7.1f}{rate / result['read_gb_per_s']:>9.0%}{tail[0]:>11.1f}{tail[1]:>10.1f}"
                  f"{tail[2]:>7.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
