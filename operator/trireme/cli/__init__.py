"""The `trireme` command: one file a command, `main` is their table of contents."""
