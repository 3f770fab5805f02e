#!/usr/bin/env python3
"""run_checker.py CHECKER [ARG...]: runs a checker of the shared folder on $MEDLEY. The folder is $MEDLEY_SHARED, else ../shared
from the source tree. Exit status 77 (skipped, see medley_command_test) where the checker is not there."""
import os, subprocess, sys

checker, *arguments = sys.argv[1:]
shared = os.environ.get('MEDLEY_SHARED', '../shared')
path = os.path.join(shared, 'check', checker)
if not os.path.exists(path):
    print(f'skipped: no {path} (MEDLEY_SHARED names the shared folder)')
    sys.exit(77)
environment = {**os.environ, 'PYTHONDONTWRITEBYTECODE': '1'}
sys.exit(subprocess.run([sys.executable, path, '--medley', os.environ['MEDLEY'], *arguments], env=environment).returncode)
