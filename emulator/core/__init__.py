"""What every emulated service builds on: the HTTP server, the journal, injected faults, and file watching."""
