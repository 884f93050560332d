"""`raptchat group`: who pays, and the key it pays with."""

from raptchat.cli.command import Command, noun
from raptchat.cli.group import groups
from raptchat.cli.group.add_key import add_key
from raptchat.cli.group.budget import budget
from raptchat.cli.group.cap import cap
from raptchat.cli.group.provision import provision
from raptchat.cli.group.rotate_key import rotate_key
from raptchat.cli.group.suspend import resume, suspend

app = noun("Groups: who pays, and who owns the conversations.")

app.command("list", cls=Command)(groups.list_)
app.command("create", cls=Command)(groups.create)
app.command("show", cls=Command)(groups.show)
app.command("set", cls=Command)(groups.set_)
app.command("budget", cls=Command)(budget)
app.command("rename", cls=Command)(groups.rename)
app.command("bind", cls=Command)(groups.bind)
app.command("unbind", cls=Command)(groups.unbind)
app.command("remove", cls=Command)(groups.remove)
# Words too many are taken here: they may be a key, and are refused with what to do instead.
app.command("add-key", cls=Command, context_settings={"allow_extra_args": True})(add_key)
app.command("provision", cls=Command)(provision)
app.command("rotate-key", cls=Command)(rotate_key)
app.command("cap", cls=Command)(cap)
app.command("suspend", cls=Command)(suspend)
app.command("resume", cls=Command)(resume)
