"""`raptchat` and `python -m raptchat`."""


def main() -> None:
    """Run the command line and exit."""
    import sys

    try:
        from raptchat.cli import app

        app(prog_name="raptchat")
    except KeyboardInterrupt:  # before the command began, or after it ended
        sys.exit(130)


if __name__ == "__main__":
    main()
