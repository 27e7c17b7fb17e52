"""What makes who opens a large file of a prepared folder wait: it is a link that leads nowhere until all bytes have come."""

import builtins
import functools
import importlib.util
import io
import os
import stat
import sys


# What a class has from another one, as torch's UntypedStorage has `from_file`.
INHERITED = object()


class Hooks:
    """Replaces `open`, `os.stat`, torch's `UntypedStorage.from_file` and safetensors' `safe_open` for the files of one
    folder."""

    def __init__(self, directory, objects):
        """`objects`: OssObject by path below `directory`."""
        self.folders = {directory.rstrip("/") + "/", os.path.realpath(directory) + "/"}
        self.objects = objects
        self.undo = []

    def install(self):
        for module in (builtins, io):
            self.replace(module, "open", self.wrap_open)
        self.replace(os, "stat", self.wrap_stat)
        if importlib.util.find_spec("torch") is not None:
            import torch

            self.replace(torch.UntypedStorage, "from_file", lambda original: staticmethod(self.wrap_reader(original)))
        if importlib.util.find_spec("safetensors") is not None:
            from safetensors import safe_open

            for module in list(sys.modules.values()):  # who has imported it has it under that name
                if getattr(module, "__dict__", {}).get("safe_open") is safe_open:
                    self.replace(module, "safe_open", self.wrap_reader)

    def remove(self):
        """Where somebody else has hooked in since, theirs stays and ours lets everything pass."""
        self.objects = {}
        for owner, name, ours, original in reversed(self.undo):
            if owner.__dict__.get(name) is not ours:
                continue
            if original is INHERITED:
                delattr(owner, name)
            else:
                setattr(owner, name, original)
        self.undo = []

    def replace(self, owner, name, wrap):
        original = owner.__dict__.get(name, INHERITED)
        ours = wrap(getattr(owner, name))
        setattr(owner, name, ours)
        self.undo.append((owner, name, owner.__dict__[name], original))

    def find(self, path):
        """The object that a path names, or None."""
        if not self.objects or not isinstance(path, (str, os.PathLike)):
            return None
        text = os.fspath(path)
        if not isinstance(text, str):
            return None
        absolute = os.path.abspath(text)
        for folder in self.folders:
            if absolute.startswith(folder):
                return self.objects.get(absolute[len(folder):])
        return None

    def wrap_open(self, original):
        @functools.wraps(original)
        def hooked(file, mode="r", *args, **kwargs):
            found = self.find(file) if set(mode) <= set("rbtU") else None
            if found is None:
                return original(file, mode, *args, **kwargs)
            try:
                path = found.file_path()
            except io.UnsupportedOperation:
                return stream(found, mode, *args, **kwargs)  # too large to be one file in memory
            except OSError as failure:
                return fall_back(failure, original, file, mode, *args, **kwargs)
            return original(path, mode, *args, **kwargs)

        return hooked

    def wrap_stat(self, original):
        @functools.wraps(original)
        def hooked(path, *args, **kwargs):
            found = self.find(path)
            if found is None or kwargs.get("dir_fd") is not None or kwargs.get("follow_symlinks") is False:
                return original(path, *args, **kwargs)
            link = os.lstat(path)
            mode = stat.S_IFREG | 0o600
            times = (link.st_atime, link.st_mtime, link.st_ctime)
            return os.stat_result((mode, link.st_ino, link.st_dev, 1, link.st_uid, link.st_gid, found.size()) + times)

        return hooked

    def wrap_reader(self, original):
        """For what reads a file by itself: it begins once the file is whole."""

        @functools.wraps(original, updated=())
        def hooked(filename, *args, **kwargs):
            found = self.find(filename)
            return original(filename if found is None else found.file_path(), *args, **kwargs)

        return hooked


def stream(found, mode, buffering=-1, encoding=None, errors=None, newline=None, *_):
    raw = found.again()
    if "b" in mode and buffering == 0:
        return raw
    buffered = io.BufferedReader(raw, 1 << 20 if buffering < 2 else buffering)
    return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)


def fall_back(failure, original, *args, **kwargs):
    try:
        return original(*args, **kwargs)
    except OSError as error:
        raise error from failure
