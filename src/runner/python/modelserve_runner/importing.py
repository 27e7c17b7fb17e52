"""Finds and imports the user's class as ``algopkg.<Package>.backend``, from a snapshot that is never written to."""

import difflib
import importlib
import importlib.machinery
import os
import sys
import traceback
import types

from .backend import serving_method

_PLUMBING = (os.path.dirname(os.path.abspath(__file__)), os.path.dirname(importlib.__file__), "<frozen importlib")


class BackendNotFound(Exception):
    """The package has no such backend file or class; the message says what is there instead."""


class _SnapshotLoader(importlib.machinery.SourceFileLoader):
    """Loads source without leaving bytecode beside it: snapshots are shared and known by their hash.

    ``sys.dont_write_bytecode`` and ``sys.pycache_prefix`` would do the same to the environment's packages, which would
    then be compiled again at every start, or once more per node.
    """

    #: Where bytecode is kept instead, or None; CPython before 3.8 cannot keep it elsewhere.
    cache_dir = None

    def get_code(self, fullname):
        """Return the module's code, from the cache if there is one."""
        if self.cache_dir is None:
            return super().get_code(fullname)
        prefix, sys.pycache_prefix = sys.pycache_prefix, self.cache_dir
        try:
            return super().get_code(fullname)
        finally:
            sys.pycache_prefix = prefix

    def set_data(self, path, data, *, _mode=0o666):
        """Write bytecode to the cache only."""
        if self.cache_dir is not None:
            super().set_data(path, data, _mode=_mode)


def load_backend(launch):
    """Import the package and return the class; anything may be raised, BackendNotFound by this function itself."""
    package_dir = os.path.join(launch.code_dir, "algopkg", launch.package)
    _prepare_path(launch.code_dir, package_dir)
    if sys.version_info >= (3, 8):
        _SnapshotLoader.cache_dir = launch.pycache_dir
    name = "algopkg.%s.backend" % launch.package
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in (name, "algopkg.%s" % launch.package):
            raise
        raise BackendNotFound("%s has no backend.py: the class is looked for in algopkg/%s/backend.py"
                              % (package_dir, launch.package))
    found = getattr(module, launch.backend, None)
    if not isinstance(found, type):
        raise BackendNotFound(_no_such_class(module, launch.backend))
    if serving_method(found) is None:
        raise BackendNotFound("class %s in %s has none of __call__(self, request), predict(self, parameters) and "
                              "predict_batch(self, list)"
                              % (launch.backend, module.__file__))
    return found


def describe(error):
    """Return (message, traceback, name of the module that was not found or None) of an exception."""
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    message = str(error) if isinstance(error, BackendNotFound) else "%s: %s" % (type(error).__name__, error)
    return message, format_error(error), missing


def format_error(error):
    """Return the traceback of an exception without the frames of the runner and the import system."""
    if isinstance(error, BackendNotFound):
        return "%s\n" % error
    report = traceback.TracebackException(type(error), error, error.__traceback__)
    _drop_plumbing(report)
    return "".join(report.format())


def format_kind(error):
    """Return the same without any exception's message, which may hold what a client sent."""
    report = traceback.TracebackException(type(error), error, error.__traceback__)
    _drop_plumbing(report)
    return "".join(_kinds(report))


def _kinds(report):
    inner = report.__cause__ or (None if report.__suppress_context__ else report.__context__)
    lines = [] if inner is None else _kinds(inner) + ["which led to\n"]
    kind = getattr(report, "exc_type_str", None) or report.exc_type.__name__  # from 3.13 on the first
    return lines + report.stack.format() + ["%s\n" % kind]


def _drop_plumbing(report):
    report.stack[:] = [frame for frame in report.stack if not frame.filename.startswith(_PLUMBING)]
    for inner in (report.__cause__, report.__context__):
        if inner is not None:
            _drop_plumbing(inner)


def _prepare_path(code_dir, package_dir):
    # As if backend.py had been started from its own folder, so that plain imports of its siblings work.
    sys.path[:0] = [code_dir, package_dir]
    sys.path_hooks.insert(0, _snapshot_hook(os.path.join(code_dir, "")))
    sys.path_importer_cache.clear()
    packages = os.path.join(code_dir, "algopkg")
    if not os.path.exists(os.path.join(packages, "__init__.py")):
        # Not left to the import system: an installed package called algopkg would win over a namespace package.
        namespace = types.ModuleType("algopkg")
        namespace.__path__ = [packages]
        sys.modules["algopkg"] = namespace


def _snapshot_hook(prefix):
    machinery = importlib.machinery
    loaders = (
        (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
        (_SnapshotLoader, machinery.SOURCE_SUFFIXES),
        (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
    )

    def hook(path):
        if not os.path.join(path, "").startswith(prefix) or not os.path.isdir(path):
            raise ImportError("not in the snapshot", path=path)
        return machinery.FileFinder(path, *loaders)

    return hook


def _no_such_class(module, wanted):
    classes = sorted(name for name, value in vars(module).items()
                     if isinstance(value, type) and value.__module__ == module.__name__)
    message = "%s has no class %s" % (module.__file__, wanted)
    close = difflib.get_close_matches(wanted, classes, 1)
    if close:
        return "%s: did you mean %s?" % (message, close[0])
    return "%s; it has: %s" % (message, ", ".join(classes) or "no class at all")
