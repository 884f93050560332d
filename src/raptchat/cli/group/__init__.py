"""`raptchat group`: who pays, and the key it pays with."""

from raptchat.cli.command import Command, noun
from raptchat.cli.group import groups
from raptchat.cli.group.add_key import add_key

app = noun("Groups: who pays, and who owns the conversations.")

app.command("list", cls=Command)(groups.list_)
app.command("create", cls=Command)(groups.create)
app.command("show", cls=Command)(groups.show)
app.command("set", cls=Command)(groups.set_)
app.command("rename", cls=Command)(groups.rename)
app.command("bind", cls=Command)(groups.bind)
app.command("unbind", cls=Command)(groups.unbind)
app.command("remove", cls=Command)(groups.remove)
# Words too many are taken here: they may be a key, and are refused with what to do instead.
app.command("add-key", cls=Command, context_settings={"allow_extra_args": True})(add_key)
