"""Places where writing fails: a disk of a chosen size, and an fsync that the kernel refuses."""

import errno
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from functools import cache

from conftest import require

CHUNK = 1 << 16


@contextmanager
def small_disk(size, folder):
    """`folder` (made if need be) as a file system of `size` ("1m", "512k"); skips where nothing may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    program = shutil.which("mount")
    require(program and os.getuid() == 0, "right to mount (root)")
    done = subprocess.run(
        [program, "-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    require(done.returncode == 0, f"right to mount a tmpfs ({done.stderr.strip()})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder, leave=0):
    """Write a file into `folder` until the disk is full, then give `leave` bytes back; remove the file to free all."""
    path = folder / "filler"
    with path.open("ab", buffering=0) as file:
        for chunk in (CHUNK, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * chunk)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        if leave:
            file.truncate(max(0, file.tell() - leave))
    return path


def failing_fsync(command, when=1, log=os.devnull):
    """`command` under strace so that fsync and fdatasync fail with EIO.

    when: which calls of each thread fail: 3 the third, "3+" that and all later ones, "1+2" the first and every second
        after it. strace counts for each thread by itself.
    log: file for strace's trace. Skips where strace is missing or may not trace.
    """
    require(shutil.which("strace"), "strace")
    require(_strace_works(), "right to trace processes (ptrace)")
    inject = f"inject=fsync,fdatasync:error=EIO:when={when}"
    return ["strace", "-f", "-qq", "-o", str(log), "-e", "trace=fsync,fdatasync", "-e", inject, *command]


@cache
def _strace_works():
    probe = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=fsync", sys.executable, "-c", ""]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0
