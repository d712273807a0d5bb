"""What a test must not leave on the machine, however it ends: passed, failed, interrupted, or told to end by SIGTERM, which
reaches it a minute before ctest's time limit kills it. At the end of the process all is undone, in this order:

  THAW       frozen file systems: a process that waits for one cannot even be killed
  (processes) all that this process has started and that those have started: known by a mark in their environment
  STORAGE    mounts and loop devices
  TELL       what a test that was interrupted has to say

Within each the last that was registered comes first. Whoever takes something registers its undoing before, because the
interruption may come in between; so an undoing must do no harm where there is nothing to undo, or where it was undone
already. Threads of tests are daemons: for others Python would wait before it comes here.
"""
import atexit
import contextlib
import os
import pathlib
import select
import signal
import time
import uuid

THAW, STORAGE, TELL = range(3)

_MARK = "TIDEMARK_TEST_PROCESS"
os.environ[_MARK] = f"{os.getpid()}-{uuid.uuid4()}"
_undoings = {THAW: [], STORAGE: [], TELL: []}
_PATIENCE = 20  # seconds, for processes that were killed to be gone


class Interrupted(KeyboardInterrupt):
    """unittest takes any other exception for a failure of one test and goes on with the next."""


def at_end(phase, undo):
    """Calls undo() at the end of this process."""
    _undoings[phase].append(undo)


def say(text):
    """Also where the interruption came in the middle of a print."""
    with contextlib.suppress(OSError):  # nobody may be there any more to read it
        os.write(2, f"{text}\n".encode(errors="replace"))


def _started_here(pid):
    """The process was started here, at any remove, and has not ended."""
    try:
        return f"{_MARK}={os.environ[_MARK]}".encode() in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended in between, or is another user's
        return False


def _kill(pid):
    """A handle of the process, which is readable when it has ended with all that it held; None: there is none."""
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)  # from here on it is one process, whatever becomes of the number
        if _started_here(pid):
            line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            say(f"--- left behind, and killed: {pid} {line[:150]}")
            signal.pidfd_send_signal(handle, signal.SIGCONT)
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            return handle
        os.close(handle)
    return None


def end_processes():
    deadline = time.monotonic() + _PATIENCE
    while pids := [int(name) for name in os.listdir("/proc") if name.isdigit() and _started_here(name)]:
        ending = {pid: handle for pid in pids if (handle := _kill(pid)) is not None}
        for pid, handle in ending.items():
            if not select.select([handle], [], [], max(0, deadline - time.monotonic()))[0]:
                say(f"--- has not ended within {_PATIENCE} s: {pid}")
                return
            os.close(handle)


def _call(undo):
    try:
        undo()
    except Exception as error:  # the rest is to be undone all the same
        say(f"--- {undo} failed: {error!r}")


def undo_all():
    signal.alarm(0)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    for phase in (THAW, STORAGE, TELL):
        if phase == STORAGE:
            end_processes()
        while _undoings[phase]:
            _call(_undoings[phase].pop())


def _interrupt(number, _frame):
    # Python drops what is raised in a destructor: then once more.
    signal.alarm(2)
    atexit.register(undo_all)  # again: what is registered last is done first, before clients wait for servers that are stopped
    if number != signal.SIGALRM:
        say(f"--- interrupted by {signal.Signals(number).name}: what the test has taken is given back")
    raise Interrupted


_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGALRM)
for _number in _SIGNALS:
    if signal.getsignal(_number) is not signal.SIG_IGN:
        signal.signal(_number, _interrupt)
atexit.register(undo_all)
