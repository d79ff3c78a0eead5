"""Pictures of a plan: `picture` says what is shown, `layout` where, the others write it in one format each."""
