"""AE2xx references and structure, AE3xx expressions, AE4xx executors, secrets and artifacts, AE9xx surprises.

Law: one row per code, in order of code; codes are never reused for something else.
"""

from typing import Final

from aether_protocol.diagnostics.model import CodeInfo


def _error(code: str, title: str, explanation: str) -> CodeInfo:
    return CodeInfo(code, "error", title, explanation)


def _warning(code: str, title: str, explanation: str) -> CodeInfo:
    return CodeInfo(code, "warning", title, explanation)


CHECKS: Final[tuple[CodeInfo, ...]] = (
    # references and structure
    _error(
        "AE201",
        "the entrypoint names no template",
        "`spec.entrypoint` is the template that a run begins with, and no template of this spec has that name. Example: "
        "`entrypoint: mian` beside a dag named `main`. Correct the spelling or add the template.",
    ),
    _error(
        "AE202",
        "a run without an entrypoint",
        "The workflow takes its spec from a WorkflowTemplate by `workflowTemplateRef`, and neither of the two says which "
        "template to begin with. A library may do without an entrypoint; a run may not. Set `spec.entrypoint` in the "
        "workflow.",
    ),
    _error(
        "AE203",
        "an unknown WorkflowTemplate",
        "A `templateRef` or `workflowTemplateRef` names a WorkflowTemplate that was not found. It is searched in the same "
        "file first, then in the library directories that were given, then in the store, in the namespace of the workflow "
        "unless the reference names another (inside of a library too). Check name and namespace, give the directory that "
        "holds it (`--library`), or put it into the store (`aether template apply`).",
    ),
    _error(
        "AE204",
        "an unknown template",
        "A task's `template`, a loop's `body` or a hook's `template` names something that is not among the templates of "
        "this spec. Names are looked up in the spec where the reference stands: inside a WorkflowTemplate, in that "
        "WorkflowTemplate. Correct the spelling, add the template, or use `templateRef` for one of a library.",
    ),
    _error(
        "AE205",
        "an unknown dependency",
        "`dependencies` lists the names of other tasks in the same dag. Example: `dependencies: [fetch]` in a dag that has "
        "no task named `fetch`. A task in another dag cannot be waited for; wait for the task that calls that dag.",
    ),
    _error(
        "AE206",
        "tasks that wait for each other",
        "Following the dependencies leads back to where it began, so none of these tasks could ever start. The message "
        "shows the circle in the direction of the work: `a -> b -> a` says that b waits for a and a waits for b. Remove "
        "the dependency that should not be there.",
    ),
    _error(
        "AE207",
        "an entrypoint of a dag names no task",
        "`entrypoints` of a dag restricts it to the named tasks and all that is downstream of them. One of the names is "
        "not a task of this dag. Correct or remove it.",
    ),
    _error(
        "AE208",
        "nested too deep",
        "Dags and loops that stand inside each other are counted from the entrypoint on, and `spec.maxNestedDepth` (3 unless "
        "set, 10 at most) is the limit. The message names the way down. Raise the limit, or move steps up.",
    ),
    _error(
        "AE209",
        "a template that runs itself",
        "A dag or loop calls itself, directly or through others, so a run of it would never end. To repeat something, use "
        "a loop with `repeatCondition`.",
    ),
    _error(
        "AE210",
        "an unknown template of a WorkflowTemplate",
        "The WorkflowTemplate of this `templateRef` was found, and it has no template of that name. `templateRef.name` is "
        "the WorkflowTemplate, `templateRef.template` the template inside of it.",
    ),
    _error(
        "AE211",
        "a hook that calls no task template",
        "Hooks run a single task template; dags and loops cannot be hooks. Wrap what the hook should do in one task.",
    ),
    _error(
        "AE212",
        "an input that nothing fills",
        "The called template declares an input without a value, valueFrom or default, and this call does not give it. No "
        "task starts with a hole, so the run would end in Error there. Add the input to the `arguments` of the call, or "
        "give it a default in the template. A literal null does not count as a value.",
    ),
    _error(
        "AE213",
        "a value of the wrong type",
        'A literal does not fit the type that the parameter declares. Nothing is converted: `"5"` is not an integer and 5 '
        "is not a string, while 5.0 is an integer because it is whole, and booleans are never numbers. Change the value or "
        "the type.",
    ),
    _error(
        "AE214",
        "a value that the parameter does not allow",
        "The parameter declares an `enum`, and this literal is not in it. Use one of the listed values or add the new one.",
    ),
    _error(
        "AE215",
        "an enum member of the wrong type",
        "A member of `enum` can never be used, since it does not fit the `type` that stands beside it. Example: `type: "
        'integer` with `enum: [1, "2"]`. Correct the member or the type.',
    ),
    _error(
        "AE216",
        "an output that a loop does not aggregate",
        "The outputs of a loop are made of the outputs of its body. `aggregate.parameters` chooses among them; a declared "
        "output without `valueFrom` is the aggregated one of the same name; `valueFrom.parameter` names an aggregated one by "
        "its bare name, as in `parameter: score`. This name is not among them. Correct it, or declare it as an output of "
        "the body.",
    ),
    _error(
        "AE217",
        "inputs that become the same environment variable",
        "A program finds its inputs as AETHER_INPUT_NAME, in upper case and with `_` for `-`. Two inputs of this task, "
        "declared or passed by a call, would be the same variable: `max-rows` and `max_rows`, or `Rows` and `rows`. "
        "Rename one of them.",
    ),
    _error(
        "AE218",
        "a value whose type never fits",
        "The type of what is passed is known before the run (a declared output or input, a list that a loop "
        "aggregates, a comparison, a literal item), and it is none that the place takes, so that the task would end in "
        "Error as soon as it is ready. Nothing is converted unasked: use `str()`, `int()` or an index in a "
        "`valueFrom.expression`, or declare the type that is meant.",
    ),
    _error(
        "AE219",
        "a condition that is never true or false",
        "A condition gives a boolean (or the text `true` or `false`), and this expression gives values of other types only."
        " Example: `when: len(tasks.find.outputs.parameters.files)` for `when: len(tasks.find.outputs.parameters.files) > "
        "0`.",
    ),
    # expressions and placeholders
    _error(
        "AE301",
        "an expression that cannot be read",
        "The text does not follow the grammar of expressions. They are made of literals, names, comparisons, `and or not`, "
        "arithmetic, `a if c else b`, indexing and a fixed list of functions. A minus between names needs blanks around it, "
        "since hyphens belong to names. Example: `tasks.fetch.outputs.parameters.rows > 0`.",
    ),
    _error(
        "AE302",
        "a malformed placeholder",
        "A placeholder under a known namespace is not closed or is more than a name. Placeholders hold one name and nothing "
        "else: `{{inputs.parameters.x}}`. To compute, use `valueFrom.expression`. For two literal braces write four.",
    ),
    _error(
        "AE303",
        "a name that means nothing here",
        "The name has a known namespace, but this place does not see it, or it has no such field. What is visible depends on "
        "the place: `iterator.*` in the arguments of its loop, `hook.*` in the run of a hook, `phase` and `outputs.*` in "
        "conditions of what has ended, `tasks.*` inside of a dag. Hand the value on as an argument and read it as an input.",
    ),
    _error(
        "AE304",
        "an unknown workflow parameter",
        "`workflow.parameters.NAME` reads a parameter that `spec.arguments.parameters` does not declare. Parameters of a run "
        "must be declared; declare it, with a default if it may be left out. In a WorkflowTemplate this is a warning, as "
        "the workflow that uses it may have the parameter.",
    ),
    _error(
        "AE305",
        "an unknown input",
        "`inputs.parameters.NAME` or `inputs.artifacts.NAME` reads an input that is not declared here, and that no call "
        "passes on either. In the config of a template these are the template's own inputs, in a call those of the dag "
        "around it. Declare it under `inputs`.",
    ),
    _error(
        "AE306",
        "an unknown task",
        "`tasks.NAME` reads a task that the dag around it does not have (an error), or that its `entrypoints` leave out of the "
        "run (a warning: what it would give is absent). "
        "Tasks of other dags cannot be seen; hand their outputs up through the outputs of that dag.",
    ),
    _error(
        "AE307",
        "an unknown output",
        "The named task declares its outputs, and this one is not among them; what is not declared is not kept. Dags give "
        "their declared outputs only, loops what they aggregate. Correct the name, or declare the output.",
    ),
    _error(
        "AE308",
        "the outputs of a task that is not waited for",
        "A task reads outputs of another one without depending on it, directly or through others, so they may not be there "
        "when it starts. Add the other task to its `dependencies`.",
    ),
    _error(
        "AE309",
        "an unknown namespace",
        "A name in an expression or a `valueFrom.parameter` begins with a word that is not a namespace of the protocol, and no "
        'source of variables is known to add it. Text needs quotes: write `"ok"`, not `ok`. When a document is only '
        "validated this is a warning, as the engine that runs it may have such a source.",
    ),
    _error(
        "AE310",
        "a secret in an expression",
        "A parameter that comes from a `secretKeyRef` travels as a reference, so that its text is never recorded. An "
        "expression would need the text. Hand it on with `valueFrom.parameter`, or put it into text with a placeholder, "
        "and compute with it inside of the executor.",
    ),
    # executors and artifacts
    _error(
        "AE401",
        "an unknown executor type",
        "No executor of this type is installed. Check the spelling, or install the package that brings it. When a document "
        "is only validated this is a warning, as another machine may have it; with `--strict` it is an error, and so it is "
        "wherever the name is nearly one that is installed.",
    ),
    _error(
        "AE402",
        "a config that does not fit the executor",
        "Executors declare the fields that they take, with type, bounds and what is required. Fields that hold a placeholder "
        "are checked again when it is filled in. `aether executors` lists what each type takes.",
    ),
    _error(
        "AE403",
        "an unknown artifact source",
        "`source.type` names a kind of place that artifacts cannot be fetched from here. When a document is only validated "
        "this is a warning.",
    ),
    _error(
        "AE404",
        "a config that does not fit the artifact source",
        "Like executors, kinds of artifact sources declare what they take; this config has something else.",
    ),
    _error(
        "AE405",
        "an executor that lacks a package",
        "The executor of this type is installed, and a package that it works with is not, so every attempt would end in Error. "
        "The hint says what to install. When a document is only validated this is a warning, as another machine may have it.",
    ),
    _error(
        "AE406",
        "an executor that is turned off",
        "The configuration turns this type of executor off (`[executors.TYPE] enabled = false`). Tasks of it are neither "
        "accepted nor carried out. The hint says which file and line it is.",
    ),
    _error(
        "AE407",
        "a file of a machine that is not there",
        "A server carries out documents for others, on whichever machine has room: `workingDir: document`, AETHER_DOCUMENT_DIR "
        "and sources of type `local` name files that lie beside the document or on one machine. Give files as artifacts, from "
        "an address, from git or from another task; what only one machine has is found by a label of its worker.",
    ),
    _error(
        "AE408",
        "a demand on workers that cannot be read or met",
        "`extensions.placement.selector` and `prefer` are conditions on labels with commas between them: `key`, `!key`, "
        "`key=value`, `key!=value`, `key in (a, b)`, `key notin (a, b)`. `resources` are amounts: `500m` or 2 for `cpu`, "
        "`512Mi` or `2G` for `memory`, a whole number for `gpu`. With another text no worker could be chosen. "
        "All conditions have to be met: `gpu=a100, gpu=h100` asks for a label with two values, and none has that.",
    ),
    # surprises
    _warning(
        "AE901",
        "a template that is never run",
        "Neither the entrypoint nor a hook leads to this template. It is checked all the same. Call it or remove it.",
    ),
    _warning(
        "AE902",
        "a field without effect",
        "A task in a dag is a call, a task template a definition, and each field belongs to one of the two: `dependencies`,"
        " `when`, `continueOn`, `arguments` and `hooks` to calls; `executor`, `inputs`, `outputs` and `resources` to "
        "definitions. `retry` belongs to tasks: on the call of a dag or loop nothing is repeated, and `aether validate "
        "--strict` makes an error of it. `phase`, `code`, `msg`, `metrics` and `progress` among `outputs` are the engine's "
        "own. `type`, `enum` and `default` belong to what a template declares, not to the arguments of a call; `optional` to "
        "the input that takes an artifact, not to the output that gives it; a `valueFrom` or `default` beside a `value` is "
        "never reached. Move the field to the side that reads it, or take it away.",
    ),
    _warning(
        "AE903",
        "a retry that does not repeat failures",
        "A program that exits with a failure makes its task Failed, and `retry` without an `expression` repeats Error and "
        "Timeout only. To repeat failures too, add `expression: \"phase != 'Succeeded'\"`.",
    ),
    _warning(
        "AE904",
        "a wait for people under the default timeout",
        "The task waits for an answer, and the workflow sets no `timeout`, so that the whole run ends after one "
        "hour. Set `spec.timeout` to the time that an answer may take.",
    ),
    _warning(
        "AE905",
        "an argument that is nearly a declared input",
        "Arguments that a template does not declare are passed on as they are. This one is spelled almost like a declared "
        "input, which gets nothing from it.",
    ),
    _warning(
        "AE906",
        "a hook that leaves an input open",
        "Hooks have no arguments, so every input of their template needs a value, a valueFrom or a default; otherwise the "
        "hook's run ends in Error. `hook.*` names what happened: `{{hook.trigger.msg}}`.",
    ),
    _warning(
        "AE907",
        "an input that only items can fill",
        "The body of a loop declares an input that the loop's `arguments` do not name. It takes the field of that name of "
        "each item, and the items are only known in the run: an item that is not an object, or lacks the field, is an Error.",
    ),
    _warning(
        "AE908",
        "a task that may not have ended",
        "A task reads another one that merely stands earlier in the list. The order of the list means nothing: what does "
        "not depend on each other starts at once, and what is read may be missing. Add the dependency.",
    ),
    _warning(
        "AE910",
        "an output of a dag from nowhere",
        "The outputs of a dag are read from its tasks. One without `value` and `valueFrom` is left out of every run.",
    ),
    _warning(
        "AE911",
        "a placeholder where none is read",
        "`default` is taken as it stands, braces and all. Use `value`, or `valueFrom` with a `default` beside it.",
    ),
    _warning(
        "AE912",
        "a placeholder that is nearly a known one",
        "Placeholders of unknown namespaces stay in the text, so that scripts may have braces of their own. This one is "
        "spelled almost like a known namespace, as in `{{input.parameters.x}}` for `{{inputs.parameters.x}}`.",
    ),
    _warning(
        "AE913",
        "an output artifact from nowhere",
        "An output artifact of a task is the file or folder at its `path`; one of a dag is what `from` names, such as "
        "`tasks.build.outputs.artifacts.report`. Without that nothing is kept, unless the executor itself gives an artifact "
        "of that name: `stdout: {artifact: NAME}` of a script names a declared output artifact, which then needs no path.",
    ),
    _warning(
        "AE914",
        "a shared template that nothing uses",
        "A folder (or file) that was checked has workflows, and none of all that was checked calls this template of a "
        "WorkflowTemplate, directly or through others. A reference of a template that is itself unused does not count, nor "
        "do workflows that were not given. Call it or remove it; libraries that are meant for others are best kept in a "
        "folder of their own and checked as an argument of their own, where nothing is said about this.",
    ),
    _warning(
        "AE915",
        "a number whose spelling is lost",
        "A plain scalar of YAML that looks like a number is one wherever a value of any type may stand, and is written as JSON "
        "writes it from then on: `3.10` becomes 3.1, `0644` becomes 644, `1e3` becomes 1000.0. Where text is meant (a version, "
        "a file mode, an id) put it in quotes, or declare the parameter with `type: string`, which keeps every spelling.",
    ),
    _warning(
        "AE916",
        "an output that never fits its type",
        "The type of what this output of a dag or loop is read from is known, and it is not the declared one: the output is"
        " left out of every run, and reported there. An output of a loop with `strategy: list` is an array.",
    ),
    _warning(
        "AE917",
        "a document that other runtimes refuse",
        "A call that names a template may set `phaseConditions` here, and they win over those of the template. Other "
        "runtimes of aether/v1 refuse them there. Set them in the template if the document is to run everywhere.",
    ),
    _warning(
        "AE918",
        "a retry that repeats nothing",
        "`retry.limit` is 0 unless it is set, so that a `retry` with an `expression` or a `backoff` alone changes nothing. "
        "Add a limit. On a call or a template `retry: {limit: 0}` turns off the retry that it would have otherwise; that is "
        "not reported.",
    ),
    _warning(
        "AE919",
        "a first wait that is cut short",
        "No wait of a `backoff` is longer than its `maxDuration`, which is 1m unless it is set. Example: `backoff: {duration: "
        "5m}` waits one minute before each attempt. Set `maxDuration` as well.",
    ),
    _warning(
        "AE920",
        "a timeout that never acts",
        "A task, dag or loop has a longer `timeout` than the workflow, whose timeout (`spec.timeout`, 1h unless it is set) "
        "ends the whole run before. Raise `spec.timeout`, or lower this one.",
    ),
)
