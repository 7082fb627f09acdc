"""Runs `qlab` in processes that are forked from one that has imported everything: they start in no time.

Usage: python forks.py FOLDER WARMUP. In WARMUP there is an experiment to run once before. Each line of the standard
input is a list of arguments; the answer is the process's number, and, after the line "wait", its exit status.
"""

import contextlib
import json
import os
import sys
from pathlib import Path

from qlab.cli import main

folder, warmup = map(Path, sys.argv[1:])
os.chdir(warmup)
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(sys.stderr):
    main(["run", "swept.toml", "--set", "training.epochs=1"])
os.chdir(folder)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        status = 0
        try:
            main(json.loads(line))
        except SystemExit as ended:
            status = int(ended.code or 0)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
    print(pid, flush=True)
    sys.stdin.readline()
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
