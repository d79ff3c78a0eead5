"""How a server shares the runs of its store with others: `ownership` keeps its row among theirs, claims its part of what is
open, releases what is above that and takes over from one that died; `servers` lists them."""
