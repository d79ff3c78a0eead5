"""The table of symbols: every template and inline executor, every call, and what calls what (SPEC-1..4, SPEC-10).

Law: names of templates are resolved here and nowhere else. Templates of the workflow are all taken in, those of a library
only as far as they are called. A reference that leads nowhere is reported and leaves its call without a target; what
follows from that stays quiet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Final

from aether_protocol.compiler.findings import Finding, Findings, Near, Origin, Path
from aether_protocol.documents.library import TemplateLibrary
from aether_protocol.documents.load import LoadedDocument
from aether_protocol.documents.models import (
    Artifact,
    Dag,
    Hooks,
    Loop,
    Parameter,
    Task,
    TemplateRef,
    TemplateSpec,
    WorkflowTemplate,
)
from aether_protocol.plan.model import HookEvent, Kind

NO_PARAMETERS: Final[Mapping[str, Parameter]] = {}
NO_ARTIFACTS: Final[Mapping[str, Artifact]] = {}

# attribute of `Hooks`, field of the document, event; in the order of HOOK-1
HOOKS: Final = tuple(
    (attribute, str(event), event)
    for attribute, event in (
        ("on_start", HookEvent.ON_START),
        ("on_success", HookEvent.ON_SUCCESS),
        ("on_failure", HookEvent.ON_FAILURE),
        ("on_error", HookEvent.ON_ERROR),
        ("on_suspend", HookEvent.ON_SUSPEND),
        ("on_resume", HookEvent.ON_RESUME),
        ("on_cancel", HookEvent.ON_CANCEL),
        ("on_exit", HookEvent.ON_EXIT),
    )
)


class At(IntEnum):
    """Who calls."""

    ROOT = 0
    DAG = 1
    LOOP = 2
    HOOK = 3


class Unit:
    """The templates of one spec. `library`: reached by templateRef; else it is the workflow's own (TMPL-1)."""

    __slots__ = ("library", "origin", "parameters", "symbols", "templates")

    def __init__(self, origin: Origin, library: bool, parameters: Mapping[str, Parameter]) -> None:
        self.origin = origin
        self.library = library
        self.parameters = parameters  # the spec's `arguments`
        self.templates: dict[str, tuple[Path, Kind, Dag | Task | Loop]] = {}
        self.symbols: dict[str, Symbol] = {}

    def take_in(self, templates: list[TemplateSpec] | None) -> None:
        """Make templates known by name; of one name the first, the others were reported."""
        for entry in _templates(templates, (*self.origin.base, "templates")):
            self.templates.setdefault(entry[2].name, entry)


class Symbol:
    """A definition: a template, or the inline executor of a call. `sites` are the calls that it makes."""

    __slots__ = (
        "artifacts",
        "callers",
        "extras",
        "given_artifacts",
        "given_outputs",
        "inline",
        "inputs",
        "kind",
        "model",
        "name",
        "path",
        "sites",
        "tasks",
        "unit",
    )

    def __init__(self, unit: Unit, path: Path, kind: Kind, model: Dag | Task | Loop, *, inline: bool = False) -> None:
        self.unit = unit
        self.path = path
        self.kind = kind
        self.name = model.name
        self.inline = inline
        self.extras: set[str] = set()  # undeclared arguments that some call passes on (DATA-2)
        self.sites: list[Site] = []
        self.tasks: dict[str, int] = {}  # of a dag: position by name
        self.callers: list[Site] = []
        self.remodel(model)

    def remodel(self, model: Dag | Task | Loop) -> None:
        """Take `model`, which declares the same names, for what defines it."""
        self.model = model
        inputs, outputs = model.inputs, model.outputs
        self.inputs: Mapping[str, Parameter] = NO_PARAMETERS
        self.artifacts: Mapping[str, Artifact] = NO_ARTIFACTS
        if inputs is not None:
            self.inputs = {entry.name: entry for entry in inputs.parameters}
            self.artifacts = {entry.name: entry for entry in inputs.artifacts}
        self.given_outputs: Mapping[str, Parameter] = NO_PARAMETERS
        self.given_artifacts: Mapping[str, Artifact] = NO_ARTIFACTS
        if outputs is not None:
            self.given_outputs = {entry.name: entry for entry in outputs.parameters}
            self.given_artifacts = {entry.name: entry for entry in outputs.artifacts}

    def calls(self) -> Iterator[Site]:
        """The calls that this definition makes, and their hooks."""
        for site in self.sites:
            yield site
            yield from site.hooks


class Site:
    """A call. `model` holds its arguments: the task of a dag, the loop; None for a hook and for the entrypoint."""

    __slots__ = ("at", "event", "hooks", "model", "name", "owner", "path", "position", "target", "unit")

    def __init__(
        self, unit: Unit, at: At, path: Path, *, owner: Symbol | None, model: Task | Loop | None, name: str, position: int
    ) -> None:
        self.unit = unit
        self.at = at
        self.path = path
        self.owner = owner
        self.model = model
        self.name = name
        self.position = position
        self.target: Symbol | None = None
        self.hooks: list[Site] = []
        self.event: HookEvent | None = None


class SymbolTable:
    """All units, symbols and calls of one compilation."""

    def __init__(self, findings: Findings, library: TemplateLibrary, namespace: str) -> None:
        self.findings = findings
        self.library = library
        self.namespace = namespace
        self.symbols: list[Symbol] = []  # grows while they are linked
        self.units: dict[int, Unit] = {}  # libraries by document
        self.complete = True  # False: something is missing that was reported elsewhere

    def symbol(self, unit: Unit, name: str) -> Symbol | None:
        """The template `name` of `unit`."""
        found = unit.symbols.get(name)
        if found is None and (entry := unit.templates.get(name)) is not None:
            found = unit.symbols[name] = Symbol(unit, *entry)
            self.symbols.append(found)
        return found

    def link(self) -> None:
        """Resolve the calls that all known symbols make, and of those that become known by it."""
        for symbol in self.symbols:
            model = symbol.model
            if isinstance(model, Dag):
                self._link_dag(symbol, model)
            elif isinstance(model, Loop):
                site = Site(symbol.unit, At.LOOP, symbol.path, owner=symbol, model=model, name=model.body, position=0)
                symbol.sites.append(site)
                self.call(site, model.body, (*symbol.path, "body"))

    def _link_dag(self, symbol: Symbol, dag: Dag) -> None:
        unit = symbol.unit
        sites, tasks, base = symbol.sites, symbol.tasks, (*symbol.path, "tasks")
        for position, task in enumerate(dag.tasks):
            path = (*base, position)
            site = Site(unit, At.DAG, path, owner=symbol, model=task, name=task.name, position=position)
            sites.append(site)
            tasks.setdefault(task.name, position)
            if task.template is not None:
                self.call(site, task.template, (*path, "template"))
            elif task.template_ref is not None:
                self._call_library(site, task.template_ref, (*path, "templateRef"))
            elif task.executor is not None:
                site.target = Symbol(unit, path, Kind.TASK, task, inline=True)
                site.target.callers.append(site)
            if task.hooks is not None:
                site.hooks = self.hooks(unit, unit.origin, task.hooks, (*path, "hooks"))

    def call(self, site: Site, name: str, path: Path, origin: Origin | None = None) -> None:
        """Let `site` call template `name` of its unit; report where there is none (AE204)."""
        target = self.symbol(site.unit, name)
        if target is None:
            self._unknown(site.unit, name, path, origin or site.unit.origin)
            return
        self._join(site, target)

    def _join(self, site: Site, target: Symbol) -> None:
        site.target = target
        target.callers.append(site)
        arguments = site.model.arguments if site.model is not None else None
        if arguments is not None:
            for entry in arguments.parameters:
                if entry.name not in target.inputs:
                    target.extras.add(entry.name)

    def _unknown(self, unit: Unit, name: str, path: Path, origin: Origin) -> None:
        self.complete = False
        if not unit.origin.uncertain((*unit.origin.base, "templates")):
            self.findings.add(origin, path, Finding("AE204", f"there is no template {name!r}", Near(name, unit.templates)))

    def hooks(self, unit: Unit, origin: Origin, hooks: Hooks, path: Path) -> list[Site]:
        """The calls that hooks make: each of a task template (SPEC-15)."""
        sites = []
        for attribute, field, event in HOOKS:
            hook = getattr(hooks, attribute)
            if hook is None:
                continue
            site = Site(unit, At.HOOK, (*path, field), owner=None, model=None, name=hook.template, position=0)
            site.event = event
            where = (*path, field, "template")
            self.call(site, hook.template, where, origin)
            if site.target is not None and site.target.kind is not Kind.TASK:
                fault = Finding(
                    "AE211",
                    f"hook {field} calls {hook.template!r}, which is a {site.target.kind.name.lower()}",
                    "a hook runs a task template",
                )
                self.findings.add(origin, where, fault)
                site.target = None
            sites.append(site)
        return sites

    def find_library(self, origin: Origin, name: str, namespace: str | None, path: Path) -> LoadedDocument | None:
        """The WorkflowTemplate `name` (TMPL-2); reports where there is none."""
        found = self.library.find(name, namespace or self.namespace)
        if found is None:
            self.complete = False
            message = f"there is no WorkflowTemplate {name!r} in namespace {namespace or self.namespace!r}"
            self.findings.add(origin, path, Finding("AE203", message, self._advice(name, namespace or self.namespace)))
            return None
        if not isinstance(found.model, WorkflowTemplate):
            self.complete = False  # its own faults are reported with it
            return None
        return found

    def _advice(self, name: str, namespace: str) -> str | Near:
        """What to do about a WorkflowTemplate that is not found."""
        others = self.library.namespaces(name)
        if others:
            return f"it is in namespace {others[0]!r}: add namespace: {others[0]}"
        places = self.library.places()
        looked = f"it was looked for in {', then in '.join(places)}" if places else None
        instead = looked or "it is looked for in the same file and in libraries"
        return Near(name, lambda: self.library.names(namespace), instead)

    def _call_library(self, site: Site, ref: TemplateRef, path: Path) -> None:
        origin = site.unit.origin
        document = self.find_library(origin, ref.name, ref.namespace, (*path, "name"))
        if document is None:
            return
        unit = self.library_unit(document)
        target = self.symbol(unit, ref.template)
        if target is not None:
            self._join(site, target)
            return
        self.complete = False
        if not unit.origin.uncertain((*unit.origin.base, "templates")):
            message = f"WorkflowTemplate {ref.name!r} has no template {ref.template!r}"
            self.findings.add(origin, (*path, "template"), Finding("AE210", message, Near(ref.template, unit.templates)))

    def library_unit(self, document: LoadedDocument) -> Unit:
        """The unit of a WorkflowTemplate that a templateRef leads to."""
        unit = self.units.get(id(document))
        if unit is None:
            model = document.model
            assert isinstance(model, WorkflowTemplate)
            arguments = model.spec.arguments
            parameters = {p.name: p for p in arguments.parameters} if arguments is not None else {}
            unit = self.units[id(document)] = Unit(Origin(document, ("spec",)), True, parameters)
            unit.take_in(model.spec.templates)
        return unit


def _templates(templates: list[TemplateSpec] | None, base: Path) -> Iterator[tuple[Path, Kind, Dag | Task | Loop]]:
    """Each template with its path and kind; an entry that lost its content is passed over."""
    for index, template in enumerate(templates or ()):
        for kind, branch, content in (
            (Kind.DAG, "dag", template.dag),
            (Kind.TASK, "task", template.task),
            (Kind.LOOP, "loop", template.loop),
        ):
            if content is not None:
                yield (*base, index, branch), kind, content
                break
