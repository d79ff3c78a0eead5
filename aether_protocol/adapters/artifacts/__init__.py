"""Artifacts: the repository that keeps what tasks made, by the digest of the content, and fetchers of what runs name elsewhere.

`repository` is a folder on this machine; a content is written once and never changed, so any number of processes may share it.
`fetchers` and `git` bring files of other origins (a path, a URL, a commit) into an attempt's workspace, within its limits.
"""
