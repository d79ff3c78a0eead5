"""AE1xx: what can be wrong with a file and with the fields of its documents.

Law: one row per code, in order of code; codes are never reused for something else.
"""

from typing import Final

from aether_protocol.diagnostics.model import CodeInfo


def _row(code: str, title: str, explanation: str) -> CodeInfo:
    return CodeInfo(code, "error", title, explanation)


READING: Final = (
    # the file
    _row(
        "AE101",
        "the text is not YAML or JSON",
        "The file breaks the grammar of YAML 1.2 (which contains JSON), so nothing after that place can be read. Common "
        "causes: a tab used for indentation, a colon or quote that needs quoting, a bracket that is never closed.",
    ),
    _row(
        "AE102",
        "the file is not UTF-8 text",
        "Documents are UTF-8 text without control characters. A NUL, a stray control character, a byte order mark inside "
        "of the file or a byte sequence that is not UTF-8 is refused. Save the file as UTF-8.",
    ),
    _row("AE103", "the file holds no document", "The file is empty, or holds nothing but comments and separators."),
    _row(
        "AE104",
        "a limit is exceeded",
        "A file may have 10 MiB, its documents 2 000 000 values once aliases are expanded, nested at most 200 deep. The "
        "limits keep hostile input from using up the machine; each can be configured.",
    ),
    _row(
        "AE105",
        "a key stands twice",
        "A mapping has the same key more than once. Readers of YAML disagree about which one counts, so neither is trusted: "
        "keep one of them.",
    ),
    _row(
        "AE106",
        "a key is not text",
        "Keys are text. In YAML `1`, `true` and `null` are not; put them in quotes to make them text.",
    ),
    _row(
        "AE107",
        "a tag outside of the core schema",
        "Only the tags of the YAML core schema are read: !!str !!int !!float !!bool !!null !!map !!seq, each where it "
        "fits its value. Others could stand for anything, even for code.",
    ),
    _row(
        "AE108",
        "a YAML directive",
        "Lines such as `%YAML 1.1` or `%TAG` change how a document is read. Documents are always YAML 1.2, which `%YAML 1.2` "
        "may say; leave other directives out.",
    ),
    _row(
        "AE109",
        "a faulty anchor or alias",
        "An alias (`*name`) names an anchor (`&name`) that stands earlier in the same document and has ended; of several with "
        "that name it is the last one before the alias.",
    ),
    _row(
        "AE110",
        "a value that JSON does not have",
        "Values are those of JSON: no infinities, no NaN, whole numbers of 64 bits (-2^63 to 2^63-1), no halves of "
        "surrogate pairs. Put longer numbers in quotes.",
    ),
    _row(
        "AE111",
        "a merge key",
        "`<<` copied a mapping into another one in YAML 1.1. YAML 1.2 has no such key; write the fields out, or use a plain "
        "alias for a whole value.",
    ),
    _row(
        "AE112",
        "a file of another kind",
        "The file is recognized as something else that Aether Protocol reads or writes: a case file, settings, a store, an "
        "exported run, a report, events. The hint names the command that is for it.",
    ),
    # the fields
    _row("AE120", "an unknown field", "Documents are closed: a field that the format does not have is a mistake."),
    _row("AE121", "a field is missing", "A field that is required here is not given."),
    _row("AE122", "a value of the wrong type", "The value has another type than the field. Numbers in quotes are text."),
    _row("AE123", "a value that is not among the allowed ones", "The field takes one of a fixed list of values."),
    _row(
        "AE124",
        "text that is not well-formed",
        "The field takes text of a certain form: a name (1 to 63 lower-case letters, digits and hyphens, with a letter or "
        "digit at both ends), a duration such as 1h30m, a semantic version, an instant, a schedule.",
    ),
    _row(
        "AE125",
        "a value out of bounds",
        "The number is too small or too large, or a list that needs an entry is empty.",
    ),
    _row(
        "AE126",
        "not exactly one of several fields",
        "Of some fields exactly one is given: dag, task or loop in a template; template, templateRef or executor in a task; "
        "items, itemsFrom or repeatCondition in a loop; templates or workflowTemplateRef in a spec; the four ways of "
        "valueFrom.",
    ),
    _row("AE127", "a field that does not go with another", "Two fields stand side by side that exclude each other."),
    _row(
        "AE128",
        "not a document of aether/v1",
        "A document is a mapping with apiVersion aether/v1, one of the kinds Workflow, CronWorkflow and WorkflowTemplate, "
        "metadata and spec.",
    ),
    # rules over several fields
    _row(
        "AE130",
        "a name is taken",
        "Two entries of one list have the same name, so it is not clear which one is meant.",
    ),
    _row(
        "AE132",
        "more items than maxIterations",
        "A loop never drops items in silence: it has room for all, or is refused.",
    ),
    _row("AE133", "an instant that does not exist", "The text has the form of an instant, but no calendar has that day."),
    _row("AE134", "endAt is not after startAt", "A schedule that ends before it starts would never fire."),
    _row(
        "AE135",
        "two documents have one name",
        "Two documents of the same kind, namespace and name stand at the same distance: in one file, or anywhere in the "
        "folders that were given. A reference could mean either. (A nearer one may hide a farther one: that of the same file "
        "those of the folders, and these those of the store.)",
    ),
)
