"""The examples that `--help` and the manual pages show; a test runs each of them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """What a command *does*, and its *line* as it is typed."""

    does: str
    line: str

    @property
    def heading(self) -> str:
        """What stands above the line: a question, or words that end in a colon."""
        return self.does if self.does.endswith("?") else f"{self.does}:"


EXAMPLES: dict[tuple[str, ...], tuple[Example, ...]] = {
    (): (
        Example("Give a group its key", "raptchat group add-key biology"),
        Example("Ask, and let that group pay", 'raptchat chat -g biology "What is osmosis?"'),
        Example("Hold a conversation", "raptchat chat -g biology"),
        Example("See what it cost this month", "raptchat usage"),
    ),
    ("chat",): (
        Example("Ask, and let this group pay", 'raptchat chat -g biology "What is osmosis?"'),
        Example("Ask about what a command writes", 'git diff | raptchat chat "Is there a mistake in this?"'),
        Example("Go on with the conversation", 'raptchat chat -c "And in plants?"'),
        Example("Ask another model", "raptchat chat -m openai/gpt-4o 'Why is the sky blue?'"),
        Example(
            "Have one more to ask when it fails",
            'raptchat chat -m openai/gpt-4o --fallback mistralai/mistral-large "Why is the sky blue?"',
        ),
        Example("Ask about a file", 'raptchat chat -a diagram.png "What does this show?"'),
        Example("Let it think longer", 'raptchat chat --effort high "Is 2027 a prime?"'),
        Example("Let it look things up", 'raptchat chat --web "Who won the last election in France?"'),
        Example("Get JSON with these fields", 'raptchat chat --schema "name, age int" "Make up a person"'),
        Example(
            "Get only the code", 'raptchat chat -x "A shell script that counts the lines of its input" > count.sh'
        ),
        Example(
            "Keep only the text, for a script", 'raptchat chat --raw "Three colours, one a line" > colours.txt'
        ),
        Example("See what would be sent, and who would pay", 'raptchat chat --dry-run "Hello"'),
    ),
    ("group",): (
        Example("Give a group its key; the group is made", "raptchat group add-key biology"),
        Example("Let this folder's questions be paid by it", "raptchat group bind biology"),
    ),
    ("group", "create"): (
        Example("Make a group with a model of its own", "raptchat group create biology --model openai/gpt-4o"),
    ),
    ("group", "list"): (Example("Which groups are there?", "raptchat group list"),),
    ("group", "show"): (Example("Which model and system prompt has it?", "raptchat group show biology"),),
    ("group", "set"): (
        Example("Give a group a system prompt", 'raptchat group set biology --system "Answer in one sentence."'),
        Example("Take it away again", 'raptchat group set biology --system ""'),
    ),
    ("group", "rename"): (Example("Give it another name", 'raptchat group rename biology "Biology 2027"'),),
    ("group", "bind"): (Example("Let this folder's questions be paid by it", "raptchat group bind biology"),),
    ("group", "unbind"): (Example("Untie this folder", "raptchat group unbind"),),
    ("group", "remove"): (Example("Remove it without being asked", "raptchat group remove biology --yes"),),
    ("group", "add-key"): (
        Example("Type the key at a hidden prompt", "raptchat group add-key biology"),
        Example("Read it from a password manager", "pass show biology | raptchat group add-key biology --stdin"),
        Example("Put a new key in the place of the old one", "raptchat group add-key biology --replace"),
    ),
    ("credentials",): (Example("List the keys, masked", "raptchat credentials"),),
    ("credentials", "list"): (
        Example("Which keys has this group?", "raptchat credentials list biology"),
        Example("The ids of all, for a script", "raptchat credentials list --json | jq -r '.[].id'"),
    ),
    ("credentials", "show"): (Example("When was this key last used?", "raptchat credentials show 1f0c"),),
    ("credentials", "activate"): (Example("Use this key again", "raptchat credentials activate 1f0c"),),
    ("credentials", "deactivate"): (Example("Retire a key", "raptchat credentials deactivate 1f0c"),),
    ("credentials", "delete"): (
        Example("Delete a key without being asked", "raptchat credentials delete 1f0c --yes"),
    ),
    ("sessions",): (Example("Find the conversation about cells", "raptchat sessions search cell"),),
    ("sessions", "list"): (Example("The last ten of one group", "raptchat sessions list -g biology --limit 10"),),
    ("sessions", "search"): (
        Example("Words, in any order", "raptchat sessions search cell wall"),
        Example("A phrase, and how a word begins", "raptchat sessions search '\"cell wall\" plant*'"),
    ),
    ("sessions", "show"): (Example("Read a conversation again", "raptchat sessions show 1f0c"),),
    ("sessions", "rename"): (
        Example("Give it a title of its own", 'raptchat sessions rename 1f0c "Osmosis, for the exam"'),
    ),
    ("sessions", "fork"): (
        Example("Go on from its fourth message, and keep the original", "raptchat sessions fork 1f0c --at 4"),
    ),
    ("sessions", "remove"): (
        Example("Remove one", "raptchat sessions remove 1f0c"),
        Example("Remove what is old, without being asked", "raptchat sessions remove --before 2026-01-01 --yes"),
    ),
    ("sessions", "export"): (
        Example("Keep a copy of it", "raptchat sessions export 1f0c --format md > osmosis.md"),
    ),
    ("models",): (
        Example("Find one by its name", "raptchat models claude"),
        Example("The cheapest first", "raptchat models --sort price"),
    ),
    ("whoami",): (
        Example("Who would pay here?", "raptchat whoami"),
        Example("Only the group's name, for a script", "raptchat whoami --json | jq -r .group"),
    ),
    ("events",): (
        Example("See what was done to the keys", "raptchat events"),
        Example("Of one group, since a day", "raptchat events -g biology --since 2026-11-01"),
    ),
    ("usage",): (
        Example("What did each group cost this month?", "raptchat usage"),
        Example("Which models did one group use, and when?", "raptchat usage biology --by model --by day"),
        Example("A whole month, for a spreadsheet", "raptchat usage --since 2026-10-01 --until 2026-10-31 --csv"),
        Example("Everything since the first day", "raptchat usage --all --by day"),
    ),
    ("vault",): (Example("Which of its slots open?", "raptchat vault"),),
    ("vault", "status"): (Example("Which of its slots open?", "raptchat vault status"),),
    ("vault", "init"): (
        Example("Without a keyring: keep the master key in a file", "raptchat vault init --file ~/master.key"),
    ),
    ("vault", "add"): (
        Example("Open it with a passphrase too", "raptchat vault add passphrase"),
        Example("Make a recovery key, to keep on paper", "raptchat vault add recovery"),
        Example("Or keep it in a password manager", "raptchat vault add recovery | pass insert -m raptchat"),
    ),
    ("vault", "remove"): (Example("Close the keyring's way in", "raptchat vault remove keyring"),),
    ("vault", "rotate"): (
        Example("Seal every key anew, after a slot was removed", "raptchat vault rotate"),
        Example("Choose another passphrase", "raptchat vault rotate --slot passphrase"),
    ),
    ("vault", "check"): (
        Example("Does every key open? Is what is on paper right?", "raptchat vault check"),
        Example("Which slots were not tried, for a script", "raptchat vault check --json"),
    ),
    ("vault", "export"): (
        Example("Everything, for another machine", "raptchat vault export ~/raptchat.age --with-sessions"),
        Example(
            "One group, for a colleague who has an age key",
            'raptchat vault export -g biology --recipient "$(cat colleague.pub)" biology.age',
        ),
    ),
    ("vault", "import"): (
        Example("See what is in it, and what would be done", "raptchat vault import ~/raptchat.age --dry-run"),
        Example("Take it in; about groups that are here it asks", "raptchat vault import ~/raptchat.age"),
        Example("In a script", "raptchat vault import biology.age --identity key.txt --on-conflict skip"),
    ),
    ("config",): (Example("What is set, and where?", "raptchat config"),),
    ("config", "list"): (Example("What is set, and where?", "raptchat config list"),),
    ("config", "get"): (Example("Which model is asked by default?", "raptchat config get AI_DEFAULT_MODEL"),),
    ("config", "set"): (
        Example("Ask another model by default", "raptchat config set AI_DEFAULT_MODEL openai/gpt-4o"),
        Example("Give a model a short name", "raptchat config set alias.fast mistralai/mistral-small"),
    ),
    ("config", "unset"): (Example("Go back to the default", "raptchat config unset AI_DEFAULT_MODEL"),),
    ("config", "path"): (Example("Where are they kept?", "raptchat config path"),),
    ("doctor",): (
        Example("What is wrong here?", "raptchat doctor"),
        Example("In a script, without the network", "raptchat doctor --offline --json"),
    ),
    ("backup",): (
        Example("Keep a copy", "raptchat backup ~/raptchat.bak"),
        Example("Every night, over the one of the day before", "raptchat backup ~/raptchat.bak --yes"),
    ),
    ("restore",): (Example("Put the store back as it was then", "raptchat restore ~/raptchat.bak"),),
    ("completion",): (
        Example("In ~/.bashrc", "source <(raptchat completion bash)"),
        Example("In ~/.zshrc, behind compinit", "source <(raptchat completion zsh)"),
        Example("Once, for fish", "raptchat completion fish > ~/.config/fish/completions/raptchat.fish"),
        Example("In PowerShell's $PROFILE", "raptchat completion powershell | Out-String | Invoke-Expression"),
    ),
    ("demo",): (
        Example("See it work, without a key", "raptchat demo"),
        Example("Try any command against the demo gateway", "raptchat demo --serve"),
    ),
}
