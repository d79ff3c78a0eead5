"""Commands about the store and the runs in it: deleted, moved, checked."""
