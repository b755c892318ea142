"""The forwarder Action, which runs in Auth0; tools to import and bind it; and a Python version of its callouts."""
