"""Documents in a few lines of YAML, compiled."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest

from aether_protocol.compiler.compile import Compiled, CompileOptions, compile_document
from aether_protocol.documents.library import TemplateLibrary
from aether_protocol.documents.load import load_bytes

Compile = Callable[..., Compiled]

HEAD = "apiVersion: aether/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n"


def document(spec: str, *, kind: str = "Workflow", name: str = "w") -> str:
    """A document around a spec. A spec that begins with `- ` is a list of templates with entrypoint `main`."""
    text = textwrap.dedent(spec).strip("\n")
    if text.startswith("- "):
        text = "entrypoint: main\ntemplates:\n" + text
    return HEAD.format(kind=kind, name=name) + textwrap.indent(text, "  ")


@pytest.fixture
def compiled() -> Compile:
    """Compile a spec (the first document counts), with WorkflowTemplates by name as keywords (`_` for `-`)."""

    def run(
        spec: str, options: CompileOptions | None = None, *, kind: str = "Workflow", faulty: bool = False, **library: str
    ) -> Compiled:
        texts = [document(spec, kind=kind)]
        texts += [document(text, kind="WorkflowTemplate", name=name.replace("_", "-")) for name, text in library.items()]
        file = load_bytes("\n---\n".join(texts).encode(), "w.yaml")
        if not faulty:
            assert file.diagnostics == ()
        known = TemplateLibrary()
        for one in file.documents:
            known.add(one)
        return compile_document(file.documents[0], known, options or CompileOptions())

    return run


@pytest.fixture
def found(compiled: Compile) -> Callable[..., list[str]]:
    """Compile a spec and give what was found, as `CODE path`, by position."""

    def run(spec: str, options: CompileOptions | None = None, **more: str) -> list[str]:
        result = compiled(spec, options, **more)
        assert (result.plan is None) == (
            more.get("kind") == "WorkflowTemplate" or any(d.severity == "error" for d in result.diagnostics)
        )
        return [f"{d.code} {d.path}" for d in result.diagnostics]

    return run
