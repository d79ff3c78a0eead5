"""Documents: text becomes values that are located, checked field by field, and typed. Pure; knows nothing of plans and runs.

**One door.** `load.load_bytes` (text) and `load.load_value` (values that were parsed elsewhere) give a `LoadedFile`: its
documents and every fault of the file. Nothing is raised for bad input.

**Three steps.** A reader (`json_text`, `yaml_text`, `values`) feeds events to `tree.TreeBuilder`, which makes plain JSON values
and notes where each of them stands: a place is one number, the index of a character, and becomes line and column only where
a diagnostic needs them. `acceptance` asks the published schema for its verdict. What fits is read into structs (`models`) and
has its rules over several fields checked (`models.rules`). A valid document is walked once and never costs an import of
pydantic.

**Faults.** Only where the schema objects does `explain` walk it to say what is wrong, all at once, each fault once and where it
is. It also repairs the tree as far as that can be done, so that the compiler can look for further faults; what was repaired,
filled in or dropped is noted, and nothing is reported that follows from it.

**Limits.** Size, number of values and depth (`source.DocumentLimits`) hold while reading, before anything is kept: a document
is hostile until it has been read.

**Spelling.** A plain scalar of YAML that stands where only text is meant keeps its spelling: `3.10` is not 3.1 there
(`spelling`, and the compiler for the types that parameters declare).

Modules by role:

    door        load, library, source_texts
    reading     source, parse, json_text, yaml_text, scalars, values, tree, other_files
    checking    acceptance, schema, explain, messages, spelling
    vocabulary  models, definitions
"""
