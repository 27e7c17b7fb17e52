"""The template to copy: a package is a folder like this one, and its entry is the class in backend.py.

Change _model_init and _model_inference, and the name of the class; the rest can stay as it is. This one extracts
people, places, dates and amounts from a text:

    curl 'http://127.0.0.1:8000/extract?text=Maria+Rossi+paid+300+euros+in+Lyon+on+3+May'
"""
import os
import socket
import traceback


class algo_backend(object):

    def __init__(self, model_path):
        """model_path is 'folder,model1,model2', from the key `model` in conf.ini, or '' where it names none."""
        self.info_msg = "Result from {}".format(socket.gethostname())
        self.labels = None
        folder, *names = [part.strip() for part in model_path.split(",")]
        self._model_init([os.path.join(folder, name) for name in names])

    def reconfigure(self, config):
        """Takes `user_config` at the start and whenever it changes, while the class goes on serving."""
        labels = config.get("labels")
        if labels is not None and not set(labels) <= self.known_labels:
            raise ValueError("labels: expected some of {}, found {}".format(sorted(self.known_labels), labels))
        self.labels = labels

    def _model_init(self, model_path_lst):
        """Loads the models, once. What raises here fails the start, and the replicas before it go on serving."""
        # Dependencies are imported in methods, so that reading this file needs none of them.
        import json

        from .tagger import Tagger

        if len(model_path_lst) != 1:
            raise ValueError("expected one model, such as `model = algoexample_model_v1.json`, found {}".format(
                model_path_lst))
        with open(model_path_lst[0], encoding="utf-8") as file:
            model = json.load(file)
        self.tagger = Tagger(model["tags"], model["weights"])
        self.known_labels = {tag[2:] for tag in model["tags"] if tag != "O"}
        print("[Model Initialized Successfully] load model from : {}".format(model_path_lst))

    def _model_inference(self, param_dict):
        """Answers one request: param_dict is its JSON body, or its query parameters where it has no body."""
        text = param_dict.get("text")
        if not isinstance(text, str):
            raise ValueError('expected {"text": "…"}, found ' + repr(param_dict))
        entities = self.tagger.extract(text)
        return [entity for entity in entities if self.labels is None or entity["label"] in self.labels]

    async def __call__(self, starlette_request):
        try:
            param_dict = await starlette_request.json()
            result = self._model_inference(param_dict)
            return {"status": 1, "result": result, "info": self.info_msg}
        except Exception:
            error_info = traceback.format_exc()
            print("[Request Failed]: {}".format(error_info))
            return {"status": 0, "info": self.info_msg + "\n" + error_info}
