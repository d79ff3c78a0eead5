"""The one door: bytes or values become documents, with all faults of reading and of fields together (DOC-1..7).

Law: nothing is raised for bad input. A valid document is checked by the schema once and read into its model; only where the
schema objects does anything dearer happen: the faults are explained, the tree is repaired, and a model is read from it, so that
others can look for further faults.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, ValidationError, convert

from aether_protocol.diagnostics import CODES, Diagnostic
from aether_protocol.documents.acceptance import accepted
from aether_protocol.documents.explain import Repaired, explain
from aether_protocol.documents.messages import Path, format_path
from aether_protocol.documents.models import KINDS, Document
from aether_protocol.documents.models.rules import problems
from aether_protocol.documents.other_files import OtherFile, by_bytes, by_content
from aether_protocol.documents.parse import parse
from aether_protocol.documents.schema import published
from aether_protocol.documents.source import DEFAULT, DocumentLimits, Source, TooManyFaultsError
from aether_protocol.documents.spelling import restore_texts, with_whole_numbers
from aether_protocol.documents.tree import DocumentTree, readable
from aether_protocol.documents.values import read_value
from aether_protocol.expressions.values import Json

_UNTOUCHED: Final = Repaired()
_LINE: Final = 10_000  # characters into a text that are counted, for each of its findings


class LoadedDocument(Struct, frozen=True, eq=False):
    """One document of a file. Paths are those of `model`; positions and reported paths are those of the text.

    `tree`: the document as written (null where a value could not be read). `model`: None only where no kind can be made
    out. `repaired` and `incomplete`: see `Repaired`; follow-up faults of either are not to be reported.
    """

    file: str
    kind: str | None
    name: str | None
    tree: Json
    model: Document | None
    index: int
    source: Source
    places: DocumentTree
    repair: Repaired

    @property
    def repaired(self) -> frozenset[Path]:
        """Fields of the model that were filled in, dropped, or read as something else."""
        return frozenset(self.repair.repaired)

    @property
    def incomplete(self) -> frozenset[Path]:
        """Lists and mappings of the model that lack entries of the text."""
        return frozenset(self.repair.incomplete)

    def written(self, path: Path) -> Path:
        """`path` in the spelling and numbering of the text."""
        moved = self.repair.moved
        if not moved:
            return path
        return tuple(moved.get(path[:size], {}).get(segment, segment) for size, segment in enumerate(path))

    def locate(self, path: Path) -> tuple[int, int]:
        """Line and column, from 1, of the nearest existing node on `path`: values, or the key of a mapping or list."""
        return self.source.position(self.places.find(self.written(path)))

    def spelling(self, path: Path) -> str | None:
        """How the number or boolean at `path` is written; None where it was not read from YAML (DOC-10)."""
        return self.places.spelling(self.written(path))

    def report(self, code: str, path: Path, message: str, hint: str | None = None, offset: int | None = None) -> Diagnostic:
        """A finding at `path`. `offset`: the character in that text that it is about, where that stands on one line."""
        written = self.written(path)
        at = self.places.find(written)
        if offset and offset <= _LINE:
            at = self._inside(at, offset)
        line, column = self.source.position(at)
        severity = CODES[code].severity
        return Diagnostic(
            file=self.file,
            line=line,
            column=column,
            code=code,
            severity=severity,
            message=message,
            path=format_path(written),
            hint=hint,
        )

    def _inside(self, at: int, offset: int) -> int:
        """Plain and simply quoted text can be counted into; anything else is located by its beginning."""
        text = self.source.text
        quoted = text[at : at + 1] in ("'", '"')
        start = at + quoted
        inner = text[start : start + offset]
        plain = not any(character in inner for character in "\n\r\\'\"") and text[at : at + 1] not in ("|", ">", "&", "!", "*")
        return start + offset if plain and len(inner) == offset else at


class LoadedFile(Struct, frozen=True, eq=False):
    """What a file gave: its documents, and all faults of reading it and of its fields."""

    file: str
    documents: tuple[LoadedDocument, ...]
    diagnostics: tuple[Diagnostic, ...]


def load_bytes(data: bytes, file: str, limits: DocumentLimits = DEFAULT) -> LoadedFile:
    """Read a file. Never raises for bad input."""
    if (other := by_bytes(data, file)) is not None:
        return _other(Source(file, ""), 0, other)
    source, trees = parse(data, file, limits)
    if trees and (other := by_content(trees[0].root)) is not None:
        return _other(source, trees[0].at, other)
    return load_trees(source, trees)


def _other(source: Source, at: int, other: OtherFile) -> LoadedFile:
    """What is reported of a file of another kind: that, and nothing else."""
    source.faults.clear()
    source.note("AE112", at, "", f"{other.what}, not a document", other.hint.format(file=source.file))
    return LoadedFile(source.file, (), tuple(source.faults))


def load_value(value: Json, file: str = "<document>", limits: DocumentLimits = DEFAULT) -> LoadedFile:
    """Read a document that is parsed already, or a list of them. There are no positions: line and column are 0."""
    source, trees = read_value(value, file, limits)
    return load_trees(source, trees)


def load_trees(source: Source, trees: list[DocumentTree]) -> LoadedFile:
    """Documents that stand inside of a text that was parsed already, such as those of a case file."""
    documents: list[LoadedDocument] = []
    names: dict[tuple[str | None, str, str], LoadedDocument] = {}
    try:
        for index, tree in enumerate(trees):
            documents.append(_document(source, tree, index))
            _report_clash(documents[-1], names, source)
    except TooManyFaultsError:
        pass
    except RecursionError:
        # only where the limit of nesting was raised beyond what Python takes
        source.note("AE104", 0, "", "nested too deep to be checked", "flatten the document")
    return LoadedFile(source.file, tuple(documents), tuple(sorted(source.faults, key=_order)))


def _order(fault: Diagnostic) -> tuple[int, int]:
    return fault.line, fault.column


def _document(source: Source, tree: DocumentTree, index: int) -> LoadedDocument:
    root = tree.root
    valid = not tree.faulty and accepted(root, tree.nodes)
    if not valid and tree.plain:
        restore_texts(tree)
        valid = not tree.faulty and accepted(root, tree.nodes)
    model = model_of(root) if valid else None
    if model is None:
        return _faulty(source, tree, index)
    document = LoadedDocument(
        file=source.file,
        kind=model.kind,
        name=model.metadata.name,
        tree=root,
        model=model,
        index=index,
        source=source,
        places=tree,
        repair=_UNTOUCHED,
    )
    _note_problems(document, model)
    return document


def _faulty(source: Source, tree: DocumentTree, index: int) -> LoadedDocument:
    """A document that the schema refuses, with its faults explained and as good a model as can be had."""
    before = len(source.faults)
    root = tree.root
    written = readable(root) if tree.faulty else root

    def note(code: str, path: Path, message: str, hint: str | None, key: bool) -> None:
        at = tree.find_key(path) if key else tree.find(path)
        source.note(code, at, format_path(path), message, hint)

    if type(root) is not dict:
        message = "a document is a mapping with apiVersion, kind, metadata and spec"
        source.note("AE128", tree.at, "", message, "it begins with apiVersion: aether/v1")
        return LoadedDocument(
            file=source.file,
            kind=None,
            name=None,
            tree=written,
            model=None,
            index=index,
            source=source,
            places=tree,
            repair=_UNTOUCHED,
        )
    repair = explain(published(), root, note)
    model = model_of(repair.tree)
    kind = model.kind if model else None
    name = model.metadata.name if model and ("metadata", "name") not in repair.repaired else None
    document = LoadedDocument(
        file=source.file,
        kind=kind,
        name=name,
        tree=written,
        model=model,
        index=index,
        source=source,
        places=tree,
        repair=repair,
    )
    if model is not None:
        _note_problems(document, model)
    if len(source.faults) == before and not tree.faulty:
        source.note("AE128", tree.at, "", "the document does not fit the schema of aether/v1", None)
    return document


def _note_problems(document: LoadedDocument, model: Document) -> None:
    """The faults that span several fields, but for those that follow from a repair."""
    for problem in problems(model):
        if problem.path not in document.repaired:
            written = document.written(problem.path)
            at = document.places.find(written)
            document.source.note(problem.code, at, format_path(written), problem.message, problem.hint)


def _report_clash(last: LoadedDocument, names: dict[tuple[str | None, str, str], LoadedDocument], source: Source) -> None:
    """Whether a document has the name of one before it."""
    if last.model is None or last.name is None:
        return
    other = names.setdefault((last.kind, last.name, last.model.metadata.namespace), last)
    if other is not last:
        path = last.written(("metadata", "name"))
        source.note("AE135", last.places.find(path), format_path(path), *taken(last, other))


def taken(document: LoadedDocument, first: LoadedDocument) -> tuple[str, str]:
    """What to say, and to advise, of a document whose name `first` has already."""
    line, column = first.locate(("metadata", "name"))
    where = f", at {first.file}:{line}:{column}" if line else "" if first.file == document.file else f", in {first.file}"
    return f"{document.kind} {document.name!r} is already there{where}", "give each its own name or namespace"


def model_of(root: Json) -> Document | None:
    """The document in `root`; None where it has not the types that the schema asks for.

    Nothing is checked a second time, so this also reads a repaired tree, which may hold ill-formed text and empty lists.
    """
    if type(root) is not dict or (kind := KINDS.get(str(root.get("kind")))) is None:
        return None
    try:
        return convert(root, kind)
    except ValidationError:
        pass
    try:
        return convert(with_whole_numbers(root), kind)
    except ValidationError:
        return None
