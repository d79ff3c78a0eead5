"""Faults in what documents share: TMPL, and in EXT.

Law: see faults.py.
"""

from __future__ import annotations

from tests.mutation.faults import Fault

LIBRARY = "documents/library.py"
LOOKUP = "scheduler/name_resolution.py"
SETTINGS = "compiler/effective_spec.py"
SYMBOLS = "compiler/symbols.py"
UNUSED = "compiler/checks/unused.py"

FAULTS = (
    Fault(
        "EXT-1",
        "any key may stand among extensions",
        "documents/explain.py",
        'if key in fields or (dotted and "." in key)',
        "if key in fields or dotted",
    ),
    Fault(
        "EXT-1",
        "keys of other programs are refused",
        "documents/explain.py",
        'if key in fields or (dotted and "." in key)',
        "if key in fields",
    ),
    Fault(
        "TMPL-1",
        "the template's fields win over the workflow's",
        SETTINGS,
        "next((layer for layer in layers if layer",
        "next((layer for layer in reversed(layers) if layer",
    ),
    Fault(
        "TMPL-1",
        "the template's arguments win over the workflow's",
        SETTINGS,
        "for spec, origin in reversed(layers):",
        "for spec, origin in layers:",
    ),
    Fault(
        "TMPL-1",
        "the workflow's arguments replace the template's",
        SETTINGS,
        "for spec, origin in reversed(layers):",
        "for spec, origin in layers[:1]:",
    ),
    Fault(
        "TMPL-1",
        "names inside of a library are looked up in the workflow",
        SYMBOLS,
        "            unit.take_in(model.spec.templates)\n        return unit",
        "            unit.take_in(model.spec.templates)\n"
        "            unit.templates |= self.symbols[0].unit.templates\n        return unit",
    ),
    Fault(
        "TMPL-1",
        "a parameter that the run lacks is missing in a library, too",
        LOOKUP,
        "for library in self.libraries:",
        "for library in ():",
    ),
    Fault(
        "TMPL-2",
        "what is farther hides what is nearer",
        LIBRARY,
        "return found if found is not None or self._farther is None else self._farther.find(name, namespace)",
        "return (self._farther.find(name, namespace) if self._farther is not None else None) or found",
    ),
    Fault(
        "TMPL-2",
        "the namespace of a reference is not read",
        SYMBOLS,
        "found = self.library.find(name, namespace or self.namespace)",
        "found = self.library.find(name, self.namespace)",
    ),
    Fault(
        "TMPL-2",
        "references in a library are looked up in its own namespace",
        SYMBOLS,
        'self.find_library(origin, ref.name, ref.namespace, (*path, "name"))',
        'self.find_library(origin, ref.name, ref.namespace or origin.document.model.metadata.namespace, (*path, "name"))',
    ),
    Fault(
        "TMPL-2",
        "of two of one name the first is taken in silence",
        LIBRARY,
        "        if first is document:\n",
        "        if True:\n",
    ),
    Fault(
        "TMPL-2",
        "names are unique over all namespaces",
        LIBRARY,
        "self._documents.setdefault((document.model.metadata.namespace, document.name), document)",
        "next((d for (_, n), d in self._documents.items() if n == document.name), None) or "
        "self._documents.setdefault((document.model.metadata.namespace, document.name), document)",
    ),
    Fault(
        "TMPL-2",
        "nothing is said of what nothing uses",
        UNUSED,
        "    if all(isinstance(",
        "    if any(isinstance(",
    ),
)
