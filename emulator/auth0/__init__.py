"""The Auth0 emulator: the Actions runtime on a real Node, the tenant's users, its log, and the event schema."""
