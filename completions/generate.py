"""Write the completion scripts anew: `python completions/generate.py`. A test fails when they are stale."""

from pathlib import Path

from raptchat.cli.completion import SCRIPTS, Shell

FILES = {
    Shell.BASH: "raptchat.bash",
    Shell.ZSH: "_raptchat",
    Shell.FISH: "raptchat.fish",
    Shell.POWERSHELL: "raptchat.ps1",
}

if __name__ == "__main__":
    for shell, file in FILES.items():
        Path(__file__).with_name(file).write_text(SCRIPTS[shell], encoding="utf-8")
