"""What each built-in kind defaults and refuses, one file a kind, as functions of plain objects."""
