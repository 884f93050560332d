"""Write the completion scripts anew: `python completions/generate.py`. A test fails when they are stale."""

from pathlib import Path

from raptchat.cli.completion import FILES, SCRIPTS

if __name__ == "__main__":
    for shell, file in FILES.items():
        Path(__file__).with_name(file).write_text(SCRIPTS[shell], encoding="utf-8")
