"""What runs in Auth0: the forwarder Action. Also: how to import and bind it, and a Python version of its callouts."""
