"""An object of OSS as a file that is read."""

import ctypes
import io
import mmap
import os
import threading

# A wait is for so much at most, so that the first bytes are copied while the last are on their way.
STEP_BYTES = 64 * 1024 * 1024
# The kernel copies no more in one call.
MOST_BYTES = 1 << 30
# What was located may be gone when it is opened, where many want more memory than there is.
TRIES = 1000


class View:
    """A file in memory with the object's bytes from `base` to `end`, which are there up to `ready`."""

    def __init__(self, fd, located):
        self.fd = fd
        self.path = located["path"]
        self.base = located["base"]
        self.end = located["end"]
        self.ready = located["ready"]


class OssObject(io.RawIOBase):
    """Read-only. Its bytes come from memory where they have been prefetched, else as soon as they come; `close`, or the
    garbage collector, gives the memory back."""

    def __init__(self, connector, uri, opened, is_owner=True):
        """`opened`: {"object", "size"} as the server has it."""
        super().__init__()
        channel = connector._channel
        self._connector = connector  # lives as long as one of its objects does
        self._is_owner = is_owner
        self._channel = channel
        self._opened = opened
        self._number = opened["object"]
        self._size = opened["size"]
        self._position = 0
        self._run_from = 0  # where what was read without a gap began
        self._view = None
        self._lock = threading.RLock()
        self._is_stale = False
        self._mapping = None
        self._pid = os.getpid()
        self.name = uri
        self.key = uri[len("oss://"):].partition("/")[2]
        channel.add(self)

    def size(self):
        """In bytes."""
        return self._size

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        self._check()
        return self._position

    def seek(self, offset, whence=io.SEEK_SET):
        self._check()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}.get(whence)
        if base is None:
            raise ValueError("whence: expected 0, 1 or 2, found %r" % (whence,))
        if base + offset < 0:
            raise ValueError("seek to %d: expected a place from 0 on" % (base + offset))
        with self._lock:
            if base + offset != self._position:
                self._run_from = base + offset
            self._position = base + offset
        return self._position

    def read(self, size=-1):
        """All that is asked for: fewer bytes at the end alone. None, or less than 0: all that is left."""
        self._check()
        with self._lock:
            left = max(0, self._size - self._position)
            wanted = left if size is None or size < 0 else min(size, left)
            parts = []
            while wanted > 0:
                view = self._obtain(self._position, wanted)
                count = min(wanted, view.end - self._position)
                at = self._position - view.base
                part = whole_rest(view, at) if count > MOST_BYTES and at + count == view.end - view.base else None
                parts.append(self._took(os.pread(view.fd, min(count, MOST_BYTES), at) if part is None else part))
                wanted -= len(parts[-1])
            return parts[0] if len(parts) == 1 else b"".join(parts)

    def readall(self):
        return self.read()

    def readinto(self, buffer):
        self._check()
        with self._lock, memoryview(buffer) as given, given.cast("B") as target:
            count = max(0, min(len(target), self._size - self._position))
            done = 0
            while done < count:
                view = self._obtain(self._position, min(count - done, STEP_BYTES))
                step = min(count - done, STEP_BYTES, view.end - self._position)
                with target[done:done + step] as slot:
                    done += self._took(os.preadv(view.fd, [slot], self._position - view.base))
            return count

    def peek(self, size=8192):
        """What comes next, without a step forward; makes `readline` fast."""
        self._check()
        with self._lock:
            if self._position >= self._size:
                return b""
            view = self._obtain(self._position, min(max(size, 1), self._size - self._position))
            at = self._position - view.base
            return os.pread(view.fd, min(max(size, 1), view.end - self._position), at)

    def mmap(self):
        """Waits for all of it and maps it. Returns the address, valid as long as this object is referred to."""
        if self._size == 0:
            return 0
        return ctypes.addressof(ctypes.c_char.from_buffer(self._map()))

    def memory(self):
        """Waits for all of it. Returns its bytes where they are, as a memoryview; what is written there stays there."""
        return memoryview(self._map()) if self._size > 0 else memoryview(b"")

    def file_path(self):
        """Waits for all of it. Returns a file that has it as long as this object is open."""
        self._check()
        return self._channel.call("whole", object=self._number)["path"]

    def again(self):
        """The same object with a place of its own; it ends with this one."""
        return OssObject(self._connector, self.name, self._opened, is_owner=False)

    def renew_lock(self):
        """In a forked process: a thread of the parent may have held it."""
        self._lock = threading.RLock()

    def evicted(self, path):
        """The server has taken this memory for others: it is free once the file is closed here, too."""
        if not self._lock.acquire(blocking=False):
            self._is_stale = True
            return
        try:
            if self._view is not None and self._view.path == path:
                self._drop()
        finally:
            self._lock.release()

    def close(self):
        if not self.closed:
            super().close()
            self._channel.remove(self)
            self._drop()
            if self._is_owner and self._pid == os.getpid():
                self._channel.note("close", object=self._number)

    def __del__(self):
        try:
            self.close()
        except Exception:  # the interpreter may be half gone
            pass

    def _map(self):
        with self._lock:
            if self._mapping is None:
                fd = os.open(self.file_path(), os.O_RDONLY | os.O_CLOEXEC)
                try:
                    access = mmap.PROT_READ | mmap.PROT_WRITE
                    self._mapping = mmap.mmap(fd, self._size, flags=mmap.MAP_PRIVATE, prot=access)
                finally:
                    os.close(fd)
            return self._mapping

    def _obtain(self, position, length):
        """A view of the bytes, which are there, as many as lie in one file."""
        for _ in range(TRIES):
            view = self._view
            if view is not None and view.base <= position < view.end and min(position + length, view.end) <= view.ready:
                return view
            located = self._channel.call("locate", object=self._number, offset=position, length=length)
            if view is not None and view.path == located["path"]:
                view.ready = located["ready"]
                continue
            self._drop()
            try:
                self._view = View(os.open(located["path"], os.O_RDONLY | os.O_CLOEXEC), located)
            except FileNotFoundError:
                pass  # it made room for others meanwhile
        raise OSError("%s: its file in memory is gone, again and again" % self.name)

    def _took(self, taken):
        """Goes on by what was read, bytes or their number; what was read to its end makes room for others."""
        count = taken if isinstance(taken, int) else len(taken)
        view = self._view
        if count == 0:
            raise OSError("%s: its file in memory was cut" % self.name)
        self._position += count
        begun = max(self._run_from, view.base)
        # Archives are read from their end first: that alone does not say that the rest is not needed.
        is_spent = self._position == view.end and (view.end - begun) * 2 >= view.end - view.base
        if is_spent:
            self._channel.note("spend", object=self._number, offset=view.base)
        if is_spent or self._is_stale:
            self._drop()
        return taken

    def _drop(self):
        view, self._view = self._view, None
        self._is_stale = False
        if view is not None:
            os.close(view.fd)

    def _check(self):
        if self.closed:
            raise ValueError("I/O operation on closed file.")


class OssText(io.TextIOWrapper):
    """An object opened as text, in UTF-8."""

    def __init__(self, raw):
        super().__init__(io.BufferedReader(raw, 1 << 20), encoding="utf-8")
        self._object = raw
        self.key = raw.key

    def size(self):
        """In bytes."""
        return self._object.size()

    def mmap(self):
        """As of the object opened as binary."""
        return self._object.mmap()


def whole_rest(view, at):
    """All that the file has from there on, without a copy of it in between."""
    with open(view.fd, "rb", buffering=0, closefd=False) as file:
        file.seek(at)
        return file.readall()
