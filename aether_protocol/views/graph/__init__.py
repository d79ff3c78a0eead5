"""Pictures of plans and runs: `picture` says what is shown, `labels` how its texts are folded, `layout` where it lies, with the
`tracks` of the lines; `svg`, `characters`, `outline` and `markup` write it in one format each."""
