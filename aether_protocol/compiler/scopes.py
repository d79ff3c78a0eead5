"""The scopes of texts: what each place of a definition or call sees, for the symbols at hand (DATA-4).

Law: which names a place sees is a row of name_scopes; here it is said whose inputs, tasks and loop they are.
"""

from __future__ import annotations

from aether_protocol.compiler import name_scopes as p
from aether_protocol.compiler.name_rules import Scope
from aether_protocol.compiler.symbols import At, Site, Symbol
from aether_protocol.plan.model import Kind


def container_scope(symbol: Symbol) -> Scope:
    """The conditions of a dag or a loop (SCHED-8)."""
    if symbol.kind is Kind.DAG:
        return Scope(p.DAG_CONDITIONS, (symbol.unit,), (symbol,), symbol, ending=symbol)
    return Scope(p.LOOP_CONDITIONS, (symbol.unit,), (symbol,), ending=symbol, loop=symbol)


def outcome_scope(target: Symbol, site: Site) -> Scope:
    """The conditions that a call of a task template sets."""
    return Scope(p.OUTCOME, (target.unit,), (target,), own=site.name, ending=target, called=True)


def body_scope(loop: Symbol) -> Scope:
    """The arguments of a loop and the declared sources of its body."""
    body = loop.sites[0].target
    units = (loop.unit,) if body is None or body.unit is loop.unit else (loop.unit, body.unit)
    return Scope(p.BODY_CALL, units, (loop,), loop=loop)


def call_scope(site: Site, target: Symbol) -> Scope:
    """What the declared sources of `target`'s inputs see, called by `site` (DATA-4)."""
    owner = site.owner
    if site.at is At.DAG and owner is not None:
        units = (owner.unit,) if owner.unit is target.unit else (owner.unit, target.unit)
        return Scope(p.CALL, units, (owner,), owner, site.position)
    if site.at is At.LOOP and owner is not None:
        return body_scope(owner)
    return Scope(p.HOOK_CALL if site.at is At.HOOK else p.ROOT_CALL, (target.unit,), called=True)
