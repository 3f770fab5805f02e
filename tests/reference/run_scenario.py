#!/usr/bin/env python3
"""run_scenario.py SCENARIO TRACE: runs a scenario whose figures are expected on a trace of the shared folder, which is $MEDLEY_SHARED,
else ../shared from the source tree. Exit status 77 (skipped, see medley_command_test) where the trace is not there."""
import os, subprocess, sys

scenario, trace = sys.argv[1:]
path = os.path.join(os.environ.get('MEDLEY_SHARED', '../shared'), 'traces', trace)
if not os.path.exists(path):
    print(f'skipped: no {path} (MEDLEY_SHARED names the shared folder)')
    sys.exit(77)
sys.exit(subprocess.run([os.environ['MEDLEY'], 'simulate', scenario, '--trace', path]).returncode)
