"""The terminal: what is written to it and how (`streams`, `color`, `messages`), and what is asked there (`prompt`)."""
