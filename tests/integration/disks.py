"""Real disks that fail: small file systems on loop images and on tmpfs.

They need root and loop devices; `require()` skips the test, saying why, where these are not to be had. Everything is
undone by the test's clean-ups, also after a failure: thawed first, then unmounted, then the loop device given back. Where
a test is interrupted, leftovers.py does it.
"""
import ctypes
import fcntl
import os
import pathlib
import subprocess
import unittest

import leftovers

# _IOR('X', 125, uint32_t): ext4 stops at once; every later call fails with EIO.
EXT4_IOC_SHUTDOWN = 0x8004587D
SHUTDOWN_WITHOUT_FLUSH = 2


def run(*words, check=True):
    result = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if check and result.returncode != 0:
        raise OSError(f"{' '.join(map(str, words))} ended with {result.returncode}: {result.stderr.strip()}")
    return result.stdout.strip()


def require(test, *kinds):
    """Skips `test` unless this process may mount; `kinds` are 'ext4' (loop images) or 'tmpfs'."""
    if os.geteuid() != 0:
        raise unittest.SkipTest("needs root to mount a small file system")
    for kind in kinds:
        probe = (Tmpfs if kind == "tmpfs" else Image)(pathlib.Path(test.folder) / f"probe-{kind}", 16 << 20)
        try:
            probe.mount()
        except OSError as error:
            raise unittest.SkipTest(f"this machine does not mount {kind}: {error}") from error
        finally:
            probe.remove()


class Tmpfs:
    """A tmpfs of a fixed size."""

    def __init__(self, path, size):
        self.path = pathlib.Path(path)
        self.size = size
        self.taken = False  # there may be something to undo

    def take(self):
        """Before the first step: an interruption may come between any two."""
        self.taken = True
        leftovers.at_end(leftovers.STORAGE, self.remove)

    def mount(self):
        self.take()
        self.path.mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", f"size={self.size},mode=0750", "tidemark-test", self.path)
        return self

    def free(self):
        info = os.statvfs(self.path)
        return info.f_bavail * info.f_frsize

    def fill(self, leave=0):
        """Leaves `leave` bytes free, by a file of another's."""
        block = b"\0" * 65536
        with open(self.path / "somebody-elses-file", "ab") as file:
            try:
                while self.free() > leave:
                    file.write(block[:max(1, min(len(block), self.free() - leave))])
                    file.flush()
            except OSError:  # full
                pass

    def empty(self):
        (self.path / "somebody-elses-file").unlink(missing_ok=True)

    def remove(self):
        if self.taken:
            self.release()
            self.taken = False

    def release(self):
        run("umount", "-l", self.path, check=False)


def detach(image):
    """Gives back whatever loop devices the image has, also where it is deleted: at once, or when they are not used any more."""
    for line in run("losetup", "-n", "-l", "-O", "NAME,BACK-FILE", check=False).splitlines():
        device, file = line.split(maxsplit=1)
        if file.removesuffix(" (deleted)") == str(image):
            run("losetup", "-d", device, check=False)


class Image(Tmpfs):
    """An ext4 file system in a file."""

    def __init__(self, path, size):
        super().__init__(path, size)
        self.image = self.path.with_name(self.path.name + ".img")
        self.device = None

    def mount(self):
        self.take()
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(self.size)
        self.device = run("losetup", "-f", "--show", self.image)
        run("mkfs.ext4", "-q", "-F", "-m", "0", self.device)
        run("mount", self.device, self.path)
        return self

    def fail(self):
        """From now on every call fails with an I/O error."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, ctypes.c_uint32(SHUTDOWN_WITHOUT_FLUSH))
        finally:
            os.close(descriptor)

    def replace(self):
        """A new, empty disk in the place of this one; nothing may use it."""
        run("umount", self.path)
        run("mkfs.ext4", "-q", "-F", "-m", "0", self.device)
        run("mount", self.device, self.path)

    def remount(self):
        """The same disk after a power cut; nothing may use it."""
        run("umount", self.path)
        run("mount", self.device, self.path)

    def freeze(self):
        leftovers.at_end(leftovers.THAW, self.thaw)
        run("fsfreeze", "-f", self.path)

    def thaw(self):
        if self.taken:
            run("fsfreeze", "-u", self.path, check=False)

    def release(self):
        self.thaw()
        super().release()
        detach(self.image)
        self.device = None
