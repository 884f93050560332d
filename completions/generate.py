"""Write the completion scripts anew: `python completions/generate.py`. A test fails when they are stale."""

from pathlib import Path

from typer.completion import get_completion_script

FILES = {"bash": "raptchat.bash", "zsh": "_raptchat", "fish": "raptchat.fish", "pwsh": "raptchat.ps1"}


def scripts() -> dict[str, str]:
    """The text of each file, by its name."""
    return {
        file: get_completion_script(prog_name="raptchat", complete_var="_RAPTCHAT_COMPLETE", shell=shell).strip()
        + "\n"
        for shell, file in FILES.items()
    }


if __name__ == "__main__":
    for file, text in scripts().items():
        Path(__file__).with_name(file).write_text(text, encoding="utf-8")
