"""gRPC channels of a parent, used in its forked child."""
import os
import sys
from concurrent import futures

import tree

# Read when grpc is loaded. Its fork support is on where nothing is said (grpcio 1.74 and later).
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0" if sys.argv[1] == "unsupported" else "1"
os.environ["GRPC_VERBOSITY"] = "NONE"

import grpc  # noqa: E402


class Echo(grpc.GenericRpcHandler):
    def service(self, _details) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(lambda request, _context: request)


def serve(writer: int) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    os.write(writer, b"%d" % port)
    server.wait_for_termination()


def start_server() -> int:
    """In a process of its own, which says nothing."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        serve(writer)
    return int(os.read(reader, 16))


def connect(port: int) -> grpc.UnaryUnaryMultiCallable:
    """A call that has gone well once."""
    call = grpc.insecure_channel("127.0.0.1:%d" % port).unary_unary("/coldcase/Echo")
    assert call(b"hello") == b"hello"
    return call


def unsupported() -> None:
    """The child polls for ever: the threads that would serve the channel are the parent's."""
    call = connect(start_server())
    tree.edge("parent", "process_exit", "child")
    tree.ready("fork-orphaned-lock", "deadlock", 2)
    child = os.fork()
    if child == 0:
        tree.site("child", "", "call")
        call(b"hello again")  # mark: call
        os._exit(0)
    tree.site("parent", "wait4", "reap")
    os.waitpid(child, 0)  # mark: reap


def supported() -> None:
    """Healthy: gRPC begins anew in the child, which opens a channel of its own."""
    port = start_server()
    connect(port)
    tree.ready("none", "none", 2)
    child = os.fork()
    if child == 0:
        connect(port)
        tree.site("child", "", "compute")
        while True:
            sum(range(1000))  # mark: compute
    tree.site("parent", "wait4", "reap healthy")
    os.waitpid(child, 0)  # mark: reap healthy


tree.run({"unsupported": unsupported, "supported": supported})
