"""Reads handwritten digits: a small neural network on numpy.

One image of 8 by 8 pixels, row by row, each from 0 (paper) to 16 (ink), or a list of images:

    curl -d '{"pixels": [[0, 0, 5, 13, …], [0, 0, 0, 12, …]]}' http://127.0.0.1:8000/digits
"""
import os
import socket
import traceback


class DigitsBackend(object):

    def __init__(self, model_path):
        self.info_msg = "Result from {}".format(socket.gethostname())
        folder, *names = [part.strip() for part in model_path.split(",")]
        self._model_init([os.path.join(folder, name) for name in names])

    def _model_init(self, model_path_lst):
        import numpy

        if len(model_path_lst) != 1:
            raise ValueError("expected one model, such as `model = digits_v1.npz`, found {}".format(model_path_lst))
        self.numpy = numpy
        with numpy.load(model_path_lst[0]) as layers:
            self.hidden, self.hidden_bias = layers["hidden"], layers["hidden_bias"]
            self.output, self.output_bias = layers["output"], layers["output_bias"]

    def _model_inference(self, param_dict):
        if "pixels" not in param_dict:
            raise ValueError('expected {"pixels": [64 numbers]}, found ' + repr(param_dict))
        pixels = self.numpy.asarray(param_dict["pixels"], dtype="float32")
        images = pixels.reshape(1, -1) if pixels.ndim == 1 else pixels
        if images.ndim != 2 or images.shape[1] != self.hidden.shape[0]:
            raise ValueError("pixels: expected {} numbers, or a list of such lists, found shape {}".format(
                self.hidden.shape[0], pixels.shape))
        if not ((images >= 0) & (images <= 16)).all():
            raise ValueError("pixels: expected numbers from 0 to 16")
        probabilities = self._probabilities(images / 16)
        digits = probabilities.argmax(axis=1)
        confidences = probabilities.max(axis=1).astype("float64").round(4)
        if pixels.ndim == 1:
            return {"digit": digits[0], "confidence": confidences[0]}
        return {"digit": digits, "confidence": confidences}

    def _probabilities(self, images):
        """One row for each image, one column for each digit."""
        hidden = self.numpy.maximum(images @ self.hidden + self.hidden_bias, 0)
        scores = hidden @ self.output + self.output_bias
        exponentials = self.numpy.exp(scores - scores.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    async def __call__(self, starlette_request):
        try:
            param_dict = await starlette_request.json()
            return {"status": 1, "result": self._model_inference(param_dict), "info": self.info_msg}
        except Exception:
            error_info = traceback.format_exc()
            print("[Request Failed]: {}".format(error_info))
            return {"status": 0, "info": self.info_msg + "\n" + error_info}
