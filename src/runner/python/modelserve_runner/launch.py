"""The launch file: everything a replica is told at its start (docs/channel.md, "How a runner is started")."""

import json

from .frames import PROTOCOL_VERSION

#: Field: (types, default); a field without a default must be there.
_REQUIRED = object()
_FIELDS = {
    "replica": (str, _REQUIRED),
    "deployment": (str, _REQUIRED),
    "socket": (str, _REQUIRED),
    "code_dir": (str, _REQUIRED),
    "package": (str, _REQUIRED),
    "backend": (str, _REQUIRED),
    "model_path": (str, ""),
    "user_config": (object, None),
    "max_ongoing": (int, _REQUIRED),
    "concurrency": (int, _REQUIRED),
    "max_batch_size": (int, 1),
    "batch_wait_timeout_s": ((int, float), 0),
    "orphan_timeout_s": ((int, float), 600),
    "pycache_dir": ((str, type(None)), None),
    "log": ((str, type(None)), None),
    "log_max_bytes": (int, 20 * 1024 * 1024),
    "log_files": (int, 5),
    "log_output": (bool, True),
}


class LaunchError(Exception):
    """The launch file cannot be used; the message names the file and the field."""


class Launch:
    """The fields of the launch file as attributes, with the types they were checked to have."""

    def __init__(self, fields):
        self.__dict__.update(fields)


def read_launch(path):
    """Return the Launch read from ``path``; raises LaunchError."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        raise LaunchError("launch file %s cannot be read: %s" % (path, error))
    if not isinstance(found, dict):
        raise LaunchError("launch file %s: expected a JSON object" % path)
    if found.get("protocol") != PROTOCOL_VERSION:
        raise LaunchError("launch file %s is of protocol %r, this runner speaks %d: agent and runner must come from "
                          "the same version of modelserve" % (path, found.get("protocol"), PROTOCOL_VERSION))
    fields = {}
    for name, (types, default) in _FIELDS.items():
        value = found.get(name, default)
        if value is _REQUIRED:
            raise LaunchError("launch file %s: field %s is missing" % (path, name))
        if not isinstance(value, types) or isinstance(value, bool) and types not in (object, bool):
            raise LaunchError("launch file %s: field %s has the wrong type: %r" % (path, name, value))
        fields[name] = value
    return Launch(fields)
