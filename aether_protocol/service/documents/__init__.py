"""Documents that a store keeps by their names: applied all or none, found, compared and removed.

Theory of operation. A Workflow and a WorkflowTemplate are kept as their author wrote them, under the name and namespace that
they give themselves; a text that differs from the newest version makes another one, and versions count from 1. A CronWorkflow
is kept as the schedule that it was applied as (`service.schedules`). What is applied together is checked together: a document
may refer to what comes with it, and a stored document that refers to what comes must stay valid. Then all of it is written in
one transaction, or nothing. A run of a stored workflow is compiled when it begins, with the templates as they are then, and
keeps all that it needs; so versions can be removed at any time.

`changes` has the values, `texts` what a client is given, `weigh` finds out what applying comes to, `find` reads names and
versions, `parameters` says what a workflow takes, `users` finds what refers to a template, `remove` removes, `folder` follows
a folder, `as_json` writes all of it.
"""
