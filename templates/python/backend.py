"""The backend of a package: the class that conf.ini names, as `backend = algo_backend`.

One object of the class is made for each replica. Write your own code in `_model_init` and `_model_inference`; modules
of your own can lie beside this file (`from . import features`), and packages from PyPI go into a `requirements.txt`
beside it, one per line. Import what is heavy inside the methods: the file itself then loads at once.

Try it without a cluster:   modelserve check PACKAGE_NAME --param '{"text": "hello"}'
"""
import os
import socket
import traceback


class algo_backend(object):

    def __init__(self, model_path):
        """Called once when the replica starts, and not again before it ends.

        model_path is "folder,model1,model2" with the files of `model = model1,model2`, or "" without models. What is
        raised here fails the start: the replicas that were there before go on serving.
        """
        self.info_msg = "Result from {}".format(socket.gethostname())
        folder, *models = [part.strip() for part in model_path.split(",")]
        self._model_init([os.path.join(folder, model) for model in models])

    def reconfigure(self, config):
        """Optional. Called with `user_config` after __init__, and again when it changes: nothing is restarted."""

    def _model_init(self, model_path_lst):
        """Load your models, and keep them on self. The list has the full path of each."""
        for path in model_path_lst:
            if not os.path.exists(path):
                raise FileNotFoundError("no model at {}".format(path))

    def _model_inference(self, param_dict):
        """Answer one request: param_dict is its JSON body, or its query parameters where it has no body.

        Return what JSON can carry; numpy arrays and numbers, dates and dataclasses are converted.
        """
        return {"echo": param_dict}

    async def __call__(self, starlette_request):
        """Called for every request. A "status" of 0 counts as a failure in the metrics of this package."""
        try:
            param_dict = await starlette_request.json()
            return {"status": 1, "result": self._model_inference(param_dict), "info": self.info_msg}
        except Exception:
            error_info = traceback.format_exc()
            print("[Request Failed]: {}".format(error_info))
            return {"status": 0, "info": self.info_msg + "\n" + error_info}
