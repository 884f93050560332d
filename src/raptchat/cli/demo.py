"""`raptchat demo`: the main job, without a key and without a network."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from raptchat import private_file
from raptchat.cli.invocation import Invocation, invocation
from raptchat.config import Settings
from raptchat.errors import AiNotConfiguredError, UsageError
from raptchat.factory import Factory
from raptchat.naming import as_argument
from raptchat.render.errors import OPENROUTER_KEYS_PAGE
from raptchat.render.errors import error as show_error

_QUESTION = "What is osmosis?"
_PACE_SECONDS = 1.0


def demo(
    ctx: typer.Context,
    prompt: Annotated[list[str] | None, typer.Argument(metavar="[PROMPT]...", help="What to ask.")] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Leave the gateway running, for other terminals.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="With --serve; 0 is any free one.")] = 0,
) -> None:
    """Run the main job on a small gateway of its own: no key, no network, nothing left behind."""
    run = invocation(ctx)
    if run.json:
        raise UsageError("the demo has no JSON form", hint="raptchat demo --serve lets you try any command")
    if serve and prompt:
        raise UsageError("--serve takes no words", hint="ask from another terminal")
    if serve:
        run_gateway(port, run)
    elif port:
        raise UsageError("--port goes with --serve")
    else:
        run_demo(" ".join(prompt) if prompt else _QUESTION, run)


def run_demo(question: str, run: Invocation) -> None:
    """Two groups, one key: a reply for the one, and for the other the way to a key."""
    from raptchat.chat import check_prompt
    from raptchat.cli import credentials
    from raptchat.cli.chat.ask import Ask, run_chat
    from raptchat.cli.group.add_key import AddKey, run_add_key
    from raptchat.cli.key_sources import KeySource
    from raptchat.demo import DEMO_KEY, DemoGateway
    from raptchat.render.reply import ReplyFormat

    check_prompt(question)
    pace = _PACE_SECONDS if run.terminal.out_is_tty else 0.0
    with tempfile.TemporaryDirectory(prefix="raptchat-demo-") as folder, DemoGateway(pace=pace) as gateway:
        home = Path(folder)
        key_file = home / "throwaway.key"
        private_file.make(key_file, DEMO_KEY, "key")
        environ = {"RAPTCHAT_HOME": str(home / "raptchat"), "AI_GATEWAY_URL": gateway.url}
        inside = Invocation(terminal=run.terminal)
        with Factory(Settings.load(environ), tell=run.terminal.say) as factory:
            inside.factory = factory

            def step(words: str, says: str) -> None:
                run.terminal.say("", f"# {says}", f"$ raptchat {words}")

            step("vault init --file ...", "the demo keeps its master key in a temporary file")
            factory.vault.init("file", path=home / "master.key")
            step("group add-key biology", "a group, and its own key, sealed in the store")
            run_add_key(AddKey("biology", source=KeySource(key_file=key_file), label="demo"), inside)
            with factory.store.write():
                history = factory.store.groups.add("history")
                biology = factory.store.groups.named("biology")
            assert biology is not None
            step(f"chat -g biology {as_argument(question)}", "paid by biology's key, streamed as it arrives")
            how = ReplyFormat.MARKDOWN if run.terminal.out_is_tty else ReplyFormat.PLAIN
            run_chat(Ask(prompt=question, group=biology, reason="--group", how=how, show_usage=True), inside)
            step('chat -g history "And the Ostrogoths?"', "a group without a key is not paid for by another")
            try:
                run_chat(Ask(prompt="And the Ostrogoths?", group=history, reason="--group", how=how), inside)
            except AiNotConfiguredError as error:
                show_error(run.terminal, error)
            step("credentials list", "masked, with when it was last used")
            credentials.run_list(None, inside)
    run.terminal.say(
        "",
        f"Nothing of this was kept. The real thing, with a key from {OPENROUTER_KEYS_PAGE}:",
        "  raptchat group add-key biology",
        '  raptchat chat -g biology "What is osmosis?"',
        "  raptchat credentials list",
    )


def run_gateway(port: int, run: Invocation) -> None:
    """Serve until Ctrl-C, having said how another terminal uses it."""
    from raptchat.demo import DEMO_KEY, DEMO_MANAGEMENT_KEY, MODELS, DemoGateway

    try:
        gateway = DemoGateway(port, pace=_PACE_SECONDS)
    except OSError as error:
        raise UsageError(
            f"the port {port} cannot be used: {error.strerror}", hint="--port 0 takes a free one"
        ) from None
    with gateway:
        run.terminal.write(
            f"# the demo gateway answers at {gateway.url}; in another terminal:\n"
            f"export AI_GATEWAY_URL={gateway.url} RAPTCHAT_HOME=$(mktemp -d)\n"
            'raptchat vault init --file "$RAPTCHAT_HOME/master.key"   # or leave this out, to use your keyring\n'
            f"echo {DEMO_KEY} | raptchat group add-key biology --stdin\n"
            'raptchat chat -g biology "What is osmosis?"\n'
            f"echo {DEMO_MANAGEMENT_KEY} | raptchat account login --stdin\n"
            "raptchat group provision history --limit 5 --reset weekly   # a key made for it, with a cap\n"
            "# raptchat group add-key geography --login   # a key made by signing in, with a browser\n"
            "raptchat chat -g biology -m demo/status-429 hello   # models that fail in every way:\n"
        )
        for name, model in MODELS.items():
            run.terminal.write(f"#   {name:<24} {model.does}\n")
        run.terminal.say("Ctrl-C ends it")
        gateway.wait()
