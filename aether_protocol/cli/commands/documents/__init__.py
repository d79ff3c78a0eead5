"""Commands about documents: made, checked, drawn, tested, and kept in the store as templates."""
