# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a program that does not outlive who asked for it: python -I leash.py COMMAND...

Its stdin is a pipe to whom it obeys. When that closes, because nothing more is wanted or because that process has died
in whatever way, the program is told to end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    """Run it; its exit code."""
    # so that we are there until it has ended; a function, as what is ignored would be ignored by the program, too
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"error: cannot start {os.path.basename(sys.argv[1])}: {error.strerror or error}", flush=True)
        return 1
    threading.Thread(target=_obey, args=(process,), daemon=True).start()
    return process.wait()


def _obey(process: subprocess.Popen[bytes]) -> None:
    # not through sys.stdin: Python cannot end while a thread holds that
    os.read(0, 1)
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(os.getpgid(0), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
