"""One module per command, loaded by `root.LazyGroup` when it is asked for; each has its click command as `command`."""
