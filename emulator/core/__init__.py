"""What every emulated service builds on: the HTTP server, the journal, fault injection, stubs, and source checks."""
