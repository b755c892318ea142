"""`python -m emulator`: run the function locally, from a signed event to an email."""

import sys

EXIT_STATUS_OF_CTRL_C = 130  # 128 + SIGINT, as a shell reports it

if __name__ == "__main__":
    try:
        from emulator.command_line import main  # takes half a second, during which Ctrl-C can be pressed too

        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(EXIT_STATUS_OF_CTRL_C)
