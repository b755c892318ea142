"""The Auth0 emulator: the Actions runtime on Node.js, password changes, the tenant log, and the event schema."""
