"""The services of schemas/aether.proto: their messages (generated), their methods by name, and the worker's messages in both
forms. Needs the extra `[grpc]`; nothing here is imported without one of its users.

`aether_pb2` is generated (`nox -s proto`) and committed, so that nothing has to be generated to install the package; a test
holds it against the proto file. Services and their methods are read from its descriptors, so no second file is generated.
"""
