"""The no-op handler on mosec."""
from mosec import Server, Worker


class NoOp(Worker):
    def forward(self, data):
        return {"status": 1}


if __name__ == "__main__":
    server = Server()
    server.append_worker(NoOp, num=1)
    server.run()
