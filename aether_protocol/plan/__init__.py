"""The plan: what a workflow means, compiled and frozen; and what executor types declare about themselves.

**Theory.** The scheduler, the engine and the executors see plans and never documents. A plan is complete: every reference is
resolved to the definition itself, every literal is checked against its type, every expression is parsed, dependencies are
indices, durations are microseconds, and each input is a list of sources in the order of DATA-1. It is immutable and can be
shared by all runs and threads. `snapshot` in it holds the documents that it was compiled from.

A plan is written once for each run (`codec`, on `records`) and read back by whatever engine recovers the run, also a later
version: fields keep their places and their meaning, new ones come last and have a default.

What an executor type takes is data as well (`executors.ExecutorType`). One declaration serves the compiler's checks, the check
at dispatch when placeholders are filled in, the schema for editors, the reference pages and `aether executors`.

Modules by role:

    plan               model, codec, records
    executor types     executors, config, config_fields, config_schema, schema_fields
    configs by schema  schema_check, schema_words, schema_extent
    placement          placement
"""
