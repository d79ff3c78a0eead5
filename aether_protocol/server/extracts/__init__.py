"""What is made of runs for other uses, over HTTP: what a retry of one would do, and its artifacts.

The routes ask `client.extracts`, which the service answers for a caller's namespaces; here contents become downloads, which no
browser shows as a page of this server: they are attachments, and of no type.
"""
