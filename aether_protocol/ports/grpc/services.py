"""The methods of the gRPC services, read from the descriptors: for servers that answer them and clients that call them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.message_factory import GetMessageClass
from msgspec import Struct

from aether_protocol.ports.grpc.aether_pb2 import DESCRIPTOR

_KINDS: Final = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}


class GrpcMethod(Struct, frozen=True):
    """A method: `name` is that of its service and its own (`ClientService.StartWorkflow`), `path` its address, `kind` one of
    unary_unary, unary_stream and stream_stream; `request` and `answer` are the classes of its messages."""

    name: str
    path: str
    kind: str
    request: Any
    answer: Any


def service_names() -> list[str]:
    """Name the services in full, as health checks and reflection do."""
    return [service.full_name for service in DESCRIPTOR.services_by_name.values()]


def methods() -> Iterator[GrpcMethod]:
    """Give all methods of all services."""
    for service in DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            yield GrpcMethod(
                f"{service.name}.{method.name}",
                f"/{service.full_name}/{method.name}",
                _KINDS[method.client_streaming, method.server_streaming],
                GetMessageClass(method.input_type),
                GetMessageClass(method.output_type),
            )


class GrpcStub:
    """The methods of one service on a channel, as attributes.

    Args:
        channel: of `grpc` or `grpc.aio`.
        service: its short name, for example `ClientService`.

    Raises:
        LookupError: there is no such service.
    """

    def __init__(self, channel: Any, service: str) -> None:
        mine = [one for one in methods() if one.name.startswith(f"{service}.")]
        if not mine:
            raise LookupError(f"there is no service {service!r}")
        for one in mine:
            call = getattr(channel, one.kind)
            made = call(one.path, request_serializer=one.request.SerializeToString, response_deserializer=one.answer.FromString)
            setattr(self, one.name.partition(".")[2], made)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the service has no method {name!r}")
