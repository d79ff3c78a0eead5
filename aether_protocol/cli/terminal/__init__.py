"""The terminal: what is written to it and how (`streams`, `color`, `messages`, `redraw`), and what is asked (`prompt`)."""
