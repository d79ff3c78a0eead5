"""What the callers of a template decide: its declared sources, and names that mean what the caller makes of them (DATA-4).

Law: it is judged for each caller once all calls are known. Callers that see the same are judged together, so that the cost
grows with the calls and not with their product.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from aether_protocol.compiler import name_scopes as p
from aether_protocol.compiler.checks.names import NameChecks
from aether_protocol.compiler.checks.order import Mention
from aether_protocol.compiler.findings import Finding
from aether_protocol.compiler.name_rules import MOST_RIVALS, Scope
from aether_protocol.compiler.scopes import call_scope
from aether_protocol.compiler.symbols import At, Site, Symbol
from aether_protocol.plan.model import Kind


class CallerChecks:
    """`finish` judges what had to wait for the callers."""

    def __init__(self, names: NameChecks) -> None:
        self.names = names
        self.texts = names.texts
        self._alike: dict[tuple[int, bool], list[tuple[Site, list[int]]]] = {}  # callers of a symbol that see the same

    def finish(self, symbols: list[Symbol]) -> None:
        """Judge what depends on the calls, then what depends on the dependencies between tasks."""
        for symbol in symbols:
            if symbol.model.inputs is not None:
                self._declared_by_callers(symbol)
        for symbol, mentions in self.texts.deferred.values():
            for mention in mentions:
                self._judge(mention, symbol)
        self.texts.order.finish()

    def _declared_by_callers(self, symbol: Symbol) -> None:
        """The declared sources as each caller sees them: calls of one dag see the same, and differ in what they depend on."""
        alike: dict[object, list[Scope]] = {}
        for site, scope in zip(symbol.callers, _rivals([call_scope(site, symbol) for site in symbol.callers]), strict=True):
            alike.setdefault((id(site.owner), site.at, self._kept(scope.dag, scope.position)), []).append(scope)
        for first, *more in alike.values():
            self._judge_alike(first, [scope.position for scope in more], lambda scope: self.names.declared(symbol, scope))

    def _kept(self, dag: Symbol | None, position: int) -> bool:
        """Whether a task of a dag is a part of the run (SCHED-2)."""
        kept = self.texts.names.excluded.get(id(dag))
        return kept is None or position < 0 or kept[position]

    def _judge_alike(self, scope: Scope, others: list[int], judge: Callable[[Scope], None]) -> None:
        """Judge for one caller; `others` are the tasks of its dag that see the same and differ in what they depend on, which is
        asked for all at once."""
        self.texts.reads = []
        judge(scope)
        if self.texts.reads and others and scope.dag is not None:
            self.texts.order.share(scope.dag, others, self.texts.reads)
        self.texts.reads = None

    def _judge(self, mention: Mention, symbol: Symbol) -> None:
        """A mention that was deferred, as each caller makes it."""
        if mention.name.root == "hook":
            for site in symbol.callers:
                self._judge_hook(mention, site, symbol)
            return

        def scope_of(site: Site) -> Scope:
            dag, position = _dag_of(site, symbol)
            return replace(mention.scope, called=True, own=site.name, dag=dag, position=position)

        rivals = tuple(map(scope_of, symbol.callers[: MOST_RIVALS + 1]))
        for site, others in self._callers(symbol, p.SELF in mention.scope.place.more):
            scope = scope_of(site)
            scope.rivals = rivals if len(rivals) > 1 else scope.rivals
            self._judge_alike(scope, others, lambda scope: self.texts.name(replace(mention, scope=scope)))

    def _callers(self, symbol: Symbol, by_name: bool) -> list[tuple[Site, list[int]]]:
        """The first of the callers that see the same, with the positions of the others. `by_name`: their own names count."""
        found = self._alike.get((id(symbol), by_name))
        if found is None:
            places: dict[object, tuple[Site, list[int]]] = {}
            for site in symbol.callers:
                dag, position = _dag_of(site, symbol)
                place = (id(dag), self._kept(dag, position), site.name if by_name else None)
                if place in places:
                    places[place][1].append(position)
                else:
                    places[place] = (site, [])
            found = self._alike[id(symbol), by_name] = list(places.values())
        return found

    def _judge_hook(self, mention: Mention, site: Site, symbol: Symbol) -> None:
        if site.at is not At.HOOK:
            caller = f"{site.owner.name!r}" if site.owner is not None else "the entrypoint"
            message = f"{mention.name.text!r} is used outside of a hook: template {symbol.name!r} is called by {caller}"
            fault = Finding("AE303", message, "hook.* is seen in the run of a hook alone")
            self.texts.findings.add(mention.origin, mention.path, fault, mention.offset)



def _rivals(scopes: list[Scope]) -> list[Scope]:
    """Scopes that are one place as several callers make it: each knows all of them."""
    for scope in scopes if len(scopes) > 1 else ():
        scope.rivals = tuple(scopes) if len(scopes) <= MOST_RIVALS else tuple(scopes[: MOST_RIVALS + 1])
    return scopes


def _dag_of(site: Site, symbol: Symbol) -> tuple[Symbol | None, int]:
    """The dag whose tasks a loop sees by way of this call, and the position of the call in it."""
    if site.at is At.DAG and symbol.kind is Kind.LOOP:
        return site.owner, site.position
    return None, -1
