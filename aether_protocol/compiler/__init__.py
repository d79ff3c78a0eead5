"""The compiler: a document becomes a plan, after every static check. Pure: no clock, no I/O; the rest comes as options.

**One door.** `compile.compile_document` gives the plan, or None, and all findings. It never raises for a document. Every fault
is reported in one go; templates that nothing runs are checked as well. The cost is linear in the size of the documents.

**The order of work.** `effective_spec` merges a workflow with the WorkflowTemplate that it takes over. `symbols` makes one
table of all definitions and calls, and resolves the names of templates, once. `dag_edges` turns dependencies into integers and
finds cycles. Then the checks walk the table, each for one concern; none depends on what another one found. `build` makes the
plan of what the entrypoint and the hooks reach, if no check reported an error.

**Names.** Which names a text may use depends on its place: `name_scopes` is the table of places (DATA-4), `scopes` says for
a place whose inputs and tasks are meant, `name_rules` judges one name. What only the callers of a template can tell is judged
for each caller, once all are known (`checks/callers`); whether a task may read another one is asked of the graph
(`checks/order`). A hint proposes only what the same rules accept.

**Findings.** `findings.Findings.add` is the only way by which a check reports anything. It drops what follows from what the
reader has repaired, counts beyond a bound, and works a hint out only for what is reported.

**Two calls go upward** from here, both to what was given as options: the types of executors (`ExecutorTypes`, which look up
what is installed) and the kinds of a name, which `expressions.kinds` asks of `known_types`. All others go down.

Modules by role:

    door         compile, build, findings
    what is run  effective_spec, symbols, dag_edges, graph, schedule_settings
    texts        parsed_texts, sources, spelling, strays
    names        name_scopes, scopes, name_rules, proposals
    types        known_types
    checks       checks
"""
