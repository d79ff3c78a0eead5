"""The one source of the field rules of aether/v1, as pydantic models; nothing here is imported on the way of a document.

Theory: a field is defined once, in `documents` or `parts`, with its type, default and hover text. `generate` makes two things
of that: the published JSON Schema and the structs of documents/models. The schema, the structs and the messages of the reader,
which follow the schema, therefore cannot disagree; a property test holds the definitions against both.
"""
