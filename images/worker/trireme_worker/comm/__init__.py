"""What user code imports to let processes exchange tensors. It needs torch; nothing else of Trireme's worker does."""
