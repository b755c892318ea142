"""The Cloud Run emulator: runs the function as a process and replaces its revision when a file is edited."""
