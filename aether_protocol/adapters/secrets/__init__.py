"""Secret providers: one module for each place where a secret's text may lie; `naming` has how names and keys become one word.

A provider is asked for (name, key) when an attempt needs the text, and gives None for what it does not have, so that the next
one is asked. It keeps no text that it could read again, and its repr shows none.
"""
