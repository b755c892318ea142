"""What lives in Auth0: the forwarder Action, and what installs it, binds it, and signs as it does."""
