"""Templates of a store, found by what the caller calls them, and removed (TMPL-2).

Law: of several templates all are removed or, if one is not there, none. Versions are not removed one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

from aether_protocol.assembly.templates import KIND
from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.errors import NotFoundError, UsageError
from aether_protocol.ports.store import Store, StoredDocument


def read_template_name(text: str, namespace: str | None) -> tuple[str, str, int | None]:
    """Read (namespace, name, version) from `words`, `ops/words`, `words@2`, `store:ops/words@2`. Raises UsageError."""
    rest, at, number = text.removeprefix("store:").partition("@")
    space, slash, name = rest.rpartition("/")
    if not name or (slash and not space) or (at and not (number.isascii() and number.isdigit())):
        raise UsageError(f"{text!r} is not a name of a template", hint="it is NAME, NAMESPACE/NAME or NAME@VERSION")
    if space and namespace not in (None, space):
        raise UsageError(f"{text!r} is not in namespace {namespace!r}", hint="leave -n out, or the namespace in the name")
    return space or namespace or "default", name, int(number) if at else None


def read_whole_name(text: str, namespace: str | None = None) -> tuple[str, str]:
    """Read (namespace, name) of a template with all of its versions. Raises UsageError for the name of one of them."""
    namespace, name, version = read_template_name(text, namespace)
    if version is not None:
        raise UsageError(f"{name}@{version}: versions are not removed one by one", hint=f"'{namespace}/{name}' means all")
    return namespace, name


async def find_versions(store: Store, namespace: str, name: str) -> list[StoredDocument]:
    """Give all versions of a WorkflowTemplate, newest first. Raises UsageError where there is none."""
    versions = await store.library.versions(KIND, namespace, name)
    if not versions:
        raise _unknown(namespace, name, await store.library.newest(KIND))
    return versions


def choose_version(versions: Sequence[StoredDocument], version: int | None, digest: str | None) -> StoredDocument:
    """Choose the version with this number and a digest that begins so; the newest without either. Raises UsageError."""
    fitting = [one for one in versions if version in (None, one.version) and one.digest.startswith((digest or "").lower())]
    if not fitting:
        wanted = " and ".join(
            [*([f"version {version}"] if version is not None else []), *([f"digest {digest!r}"] if digest is not None else [])]
        )
        known = ", ".join(f"{one.version} ({one.digest[:12]})" for one in versions[:5])
        hint = f"it has {known}{', ...' if len(versions) > 5 else ''}"
        raise NotFoundError(f"{versions[0].name!r} has no {wanted}", hint=hint)
    if digest is not None and len({one.digest for one in fitting}) > 1:
        raise UsageError(f"{digest!r} is the beginning of several digests", hint=", ".join(one.digest for one in fitting[:5]))
    return fitting[0]


async def remove_templates(
    store: Store, names: Sequence[tuple[str, str]]
) -> tuple[list[StoredDocument], list[StoredDocument]]:
    """Remove templates by (namespace, name); the documents that were removed, and those that are left."""
    known = await store.library.newest(KIND)
    by_name = {(one.namespace, one.name): one for one in known}
    for namespace, name in names:
        if (namespace, name) not in by_name:
            raise _unknown(namespace, name, known)
    removed = [by_name[key] for key in names if await store.library.remove(KIND, *key)]
    return removed, [one for one in known if one not in removed]


def _unknown(namespace: str, name: str, known: Sequence[StoredDocument]) -> UsageError:
    """What to say of a name that is not there, with the nearest one that is."""
    elsewhere = [one.namespace for one in known if one.name == name]
    hint: str | None = f"there is one in namespace {elsewhere[0]!r}: {elsewhere[0]}/{name}" if elsewhere else None
    if hint is None:
        here = [one.name for one in known if one.namespace == namespace]
        hint = did_you_mean(name, here, "'aether template ls' lists them" if known else "the store holds no templates")
    return NotFoundError(f"there is no WorkflowTemplate {name!r} in namespace {namespace!r}", hint=hint)
