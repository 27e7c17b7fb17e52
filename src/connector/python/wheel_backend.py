"""Builds the wheel of ossmodelconnector: by `pip wheel src/connector/python`, or without pip by
`python3 src/connector/python/wheel_backend.py FOLDER`. The version is that of modelserve, whose program is looked for where
the wheel was made when it is not on PATH."""

import base64
import hashlib
import json
import os
import sys
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "..", "..", ".."))
NAME = "ossmodelconnector"
# Files in it have the same times whenever it is made, so that the same source gives the same wheel.
LONG_AGO = (1980, 1, 1, 0, 0, 0)


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Writes the wheel. Returns its file name. Raises FileNotFoundError outside of modelserve's own folder."""
    version = modelserve_version()
    package = os.path.join(HERE, NAME)
    files = {}
    for name in sorted(os.listdir(package)):
        if name.endswith(".py") or name == "py.typed":
            with open(os.path.join(package, name), "rb") as file:
                files["%s/%s" % (NAME, name)] = file.read()
    program = os.path.join(ROOT, "dist", "cli", "main.js")
    files[NAME + "/_made_at.py"] = ("PROGRAM = %r\n" % program).encode()
    info = "%s-%s.dist-info" % (NAME, version)
    files[info + "/METADATA"] = metadata(version).encode()
    files[info + "/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: modelserve\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join("%s,sha256=%s,%d\n" % (name, digest(data), len(data)) for name, data in files.items())
    files[info + "/RECORD"] = (record + info + "/RECORD,,\n").encode()
    wheel = "%s-%s-py3-none-any.whl" % (NAME, version)
    with zipfile.ZipFile(os.path.join(wheel_directory, wheel), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return wheel


def modelserve_version():
    with open(os.path.join(ROOT, "package.json"), encoding="utf-8") as file:
        return json.load(file)["version"]


def metadata(version):
    return (
        "Metadata-Version: 2.1\nName: %s\nVersion: %s\nSummary: Objects in OSS as files, prefetched into memory by modelserve\n"
        "License: Apache-2.0\nRequires-Python: >=3.8\n" % (NAME, version)
    )


def digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: wheel_backend.py FOLDER")
    print(os.path.join(sys.argv[1], build_wheel(sys.argv[1])))
