#!/usr/bin/env python3
"""Runs a command; prints its seconds, its processor seconds, its peak of resident memory in KiB
and its exit status.

    benches/resident.py [--stdin FILE] [--full-pipe] -- COMMAND...

Both are of the process alone, without its children. The peak is the kernel's own (VmHWM), read
every few milliseconds while the command runs. ru_maxrss would not do: it counts what this
interpreter takes before the command replaces it.

--full-pipe gives the command an output pipe that is full already, so that a command that ends
within a millisecond waits in its first write until it was measured. Its seconds mean nothing.
"""

import argparse
import fcntl
import os
import subprocess
import time


def peak(pid):
    """KiB, or None when the process has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            fields = dict(line.split(":", 1) for line in status)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields["VmHWM"].split()[0]) if "VmHWM" in fields else None


def processor(pid):
    """Seconds, or None when the process has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def full_pipe():
    """Both ends of a pipe that takes nothing more."""
    read, write = os.pipe()
    flags = fcntl.fcntl(write, fcntl.F_GETFL)
    fcntl.fcntl(write, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        while True:
            os.write(write, b"\0" * 4096)
    except BlockingIOError:
        pass
    fcntl.fcntl(write, fcntl.F_SETFL, flags)
    return read, write


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stdin", default=os.devnull)
    parser.add_argument("--full-pipe", action="store_true")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    read, write = full_pipe() if options.full_pipe else (None, None)
    most, spent = 0, 0.0
    began = time.monotonic()
    with open(options.stdin, "rb") as stdin:
        process = subprocess.Popen(
            options.command,
            stdin=stdin,
            stdout=write if options.full_pipe else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    while process.poll() is None:
        most = max(most, peak(process.pid) or 0)
        spent = max(spent, processor(process.pid) or 0)
        if read is not None and time.monotonic() - began > 0.3:
            os.close(write)
            while os.read(read, 1 << 16):
                pass
            os.close(read)
            read = None
        time.sleep(0.002)
    print(f"{time.monotonic() - began:.3f} {spent:.2f} {most} {process.returncode}")


if __name__ == "__main__":
    main()
