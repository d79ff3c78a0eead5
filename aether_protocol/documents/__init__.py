"""Text becomes documents: read, located and checked field by field. `load` is the door, `models` the vocabulary."""
