"""`raptchat` and `python -m raptchat`."""


def main() -> None:
    """Run the command line and exit."""
    import sys

    try:
        from raptchat.cli import app
    except KeyboardInterrupt:  # so early that nothing has begun
        sys.exit(130)
    app(prog_name="raptchat")


if __name__ == "__main__":
    main()
