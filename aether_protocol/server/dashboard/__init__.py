"""The dashboard: pages that show runs and steer them, in a browser.

**What is where.** The sources of the pages are in `web/` (TypeScript, Preact), what is built of them in `static/` here: it is
committed, so that a server needs no Node to be installed or run, and a test holds it against its sources. `pages` gives these
files out, `run_view` and `workflows` answer the one request that the page of a run, and the first page, begin with.

**One way for data.** A page makes one GET and follows one feed (`server.feeds`); what comes by the feed is applied to what the
GET gave. All that is written goes through the routes that programs use, so what a page can do, a program can, and the roles of
the caller are asked in one place.

**Nothing from elsewhere.** The policy of the pages (`pages.POLICY`) forbids scripts, styles, pictures and requests of other
hosts, and scripts and styles in texts: what a run wrote can be shown, and never acts.
"""
