"""``python lifeline.py DIRECTORY SIGNAL UID GID PROGRAM ...``: ends when its starter does.

Standard input is the lifeline: when the starter closes it, or dies in whatever way, the program
is stopped by SIGNAL, and DIRECTORY is removed unless ``keep`` was written first. UID and GID of -1
mean our own. The program's process id is printed.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 10


def main() -> int:
    directory, signal_name, uid, gid, *program = sys.argv[1:]
    stop = signal.Signals[signal_name]
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    drops = int(uid) >= 0
    child = subprocess.Popen(
        program,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
        preexec_fn=_default_signals,
        user=int(uid) if drops else None,
        group=int(gid) if drops else None,
        extra_groups=[] if drops else None,
    )
    print(child.pid, flush=True)
    said: list[bytes] = []
    reader = threading.Thread(target=_stop_at_end_of_input, args=(child, stop, said), daemon=True)
    reader.start()
    code = child.wait()
    reader.join()
    if said != [b"keep"]:
        shutil.rmtree(directory, ignore_errors=True)
    return code


def _default_signals() -> None:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)


def _stop_at_end_of_input(
    child: subprocess.Popen[bytes], stop: signal.Signals, said: list[bytes]
) -> None:
    said.append(sys.stdin.buffer.read())
    if child.poll() is not None:
        return
    child.send_signal(stop)
    try:
        child.wait(timeout=GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(main())
