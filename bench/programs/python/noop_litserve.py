"""The no-op handler on LitServe. Argument: the port."""
import sys

import litserve


class NoOp(litserve.LitAPI):
    def setup(self, device):
        pass

    def predict(self, request):
        return {"status": 1}


if __name__ == "__main__":
    server = litserve.LitServer(NoOp(), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
