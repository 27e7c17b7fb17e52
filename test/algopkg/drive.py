"""Calls a Python backend as its runner does, without a cluster: one answer for each request of a file.

    python drive.py PROJECT_DIR PACKAGE CLASS MODEL_PATH FILE

FILE holds {"config": user_config or null, "requests": [...]}; the answers are printed as one JSON list on the last line.
Runs on Python 3.6 and later.
"""
import asyncio
import importlib
import json
import sys


class Request(object):
    def __init__(self, parameters):
        self.parameters = parameters

    async def json(self):
        return self.parameters


async def call_all(backend, requests):
    return [await backend(Request(parameters)) for parameters in requests]


def main(project_dir, package, class_name, model_path, path):
    sys.path.insert(0, project_dir)
    with open(path, encoding="utf-8") as file:
        task = json.load(file)
    module = importlib.import_module("algopkg.{}.backend".format(package))
    backend = getattr(module, class_name)(model_path)
    if task["config"] is not None:
        backend.reconfigure(task["config"])
    answers = asyncio.new_event_loop().run_until_complete(call_all(backend, task["requests"]))
    # Numpy's arrays and numbers say what they are as plain values, as the runner has it too.
    print(json.dumps(answers, default=lambda value: value.tolist()))


if __name__ == "__main__":
    main(*sys.argv[1:])
