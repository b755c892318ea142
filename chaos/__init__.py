"""The chaos run: thousands of callouts while everything around the function breaks."""
