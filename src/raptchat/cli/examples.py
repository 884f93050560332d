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
        Example("Spend five cents on it at most", 'raptchat chat --max-cost 0.05 "Sum up the French Revolution"'),
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
        Example(
            "Allow few models, and hosts that keep nothing",
            'raptchat group set biology --models "anthropic/*,openai/gpt-*" --zdr --max-cost 0.50',
        ),
    ),
    ("group", "budget"): (
        Example(
            "Let it spend 20 dollars a month, and say so at 16",
            "raptchat group budget biology 20 --per month --warn 80%",
        ),
        Example("What is left?", "raptchat group budget biology"),
    ),
    ("group", "provision"): (
        Example(
            "Make a key that costs 5 dollars a month at most",
            "raptchat group provision history --limit 5 --reset monthly --expires 2027-06-30",
        ),
        Example("A whole school: look first, then do it", "raptchat group provision --from roster.csv --dry-run"),
    ),
    ("group", "rotate-key"): (
        Example("A new key in the place of one that leaked", "raptchat group rotate-key biology"),
    ),
    ("group", "cap"): (
        Example("Let the key cost 10 dollars a month", "raptchat group cap biology 10 --reset monthly"),
    ),
    ("group", "suspend"): (Example("Let nobody ask with its keys any more", "raptchat group suspend biology"),),
    ("group", "resume"): (Example("Let it ask again", "raptchat group resume biology"),),
    ("group", "rename"): (Example("Give it another name", 'raptchat group rename biology "Biology 2027"'),),
    ("group", "bind"): (Example("Let this folder's questions be paid by it", "raptchat group bind biology"),),
    ("group", "unbind"): (Example("Untie this folder", "raptchat group unbind"),),
    ("group", "remove"): (
        Example("Remove it without being asked", "raptchat group remove biology --yes"),
        Example("Its keys at the gateway too", "raptchat group remove biology --revoke --yes"),
    ),
    ("group", "add-key"): (
        Example("Type the key at a hidden prompt", "raptchat group add-key biology"),
        Example("Read it from a password manager", "pass show biology | raptchat group add-key biology --stdin"),
        Example("Put a new key in the place of the old one", "raptchat group add-key biology --replace"),
        Example("Have one made in the browser", "raptchat group add-key biology --login"),
        Example(
            "Leave it in the team's secret manager",
            'raptchat group add-key biology --key-command "op read op://acme/openrouter/key"',
        ),
        Example(
            "A gateway of one's own",
            "raptchat group add-key biology --provider openai-compatible --base-url http://127.0.0.1:4000/v1",
        ),
    ),
    ("credentials",): (Example("List the keys, masked", "raptchat credentials"),),
    ("credentials", "list"): (
        Example("Which keys has this group?", "raptchat credentials list biology"),
        Example("The ids of all, for a script", "raptchat credentials list --json | jq -r '.[].id'"),
    ),
    ("credentials", "check"): (
        Example("Are all keys good, and what is left?", "raptchat credentials check"),
        Example("Only this group's, in a script", "raptchat credentials check biology --json"),
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
        Example("A bill to forward", "raptchat usage --month 2026-11 --by group,model --markdown"),
        Example("Each request, with its generation id", "raptchat usage biology --month 2026-11 --detail --csv"),
        Example("Ask for what was not known yet", "raptchat usage --refresh"),
    ),
    ("usage", "reconcile"): (
        Example("Was a key used elsewhere?", "raptchat usage reconcile"),
        Example("Only this group's", "raptchat usage reconcile biology"),
    ),
    ("account",): (Example("Is there a management key, and does it work?", "raptchat account"),),
    ("account", "login"): (
        Example("Type the management key at a hidden prompt", "raptchat account login"),
        Example("Read it from a password manager", "pass show openrouter | raptchat account login --stdin"),
    ),
    ("account", "status"): (Example("Does the gateway take it?", "raptchat account status"),),
    ("account", "logout"): (Example("Forget it without being asked", "raptchat account logout --yes"),),
    ("account", "keys"): (
        Example("Which keys are only there, or only here?", "raptchat account keys"),
        Example(
            "Those that no group here has", "raptchat account keys --json | jq '.[] | select(.group == null)'"
        ),
    ),
    ("import-keys",): (
        Example("What has llm in plain text?", "raptchat import-keys llm --dry-run"),
        Example("Take over its key and its conversations", "raptchat import-keys llm -g biology --sessions"),
    ),
    ("exec",): (
        Example(
            "Let this group pay for what another client asks", 'raptchat exec -g biology -- llm "What is osmosis?"'
        ),
        Example(
            "Under the name that this program reads",
            "raptchat exec -g biology --env OPENAI_API_KEY -- sgpt 'What is osmosis?'",
        ),
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
