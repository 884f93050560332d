"""What `nox` runs: the same as CI. `nox -l` lists the sessions, `nox -s tests -- -k vault` runs a part."""

import json
import os
from pathlib import Path

import nox

nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
# A machine with one Python tests with one; CI as well.
nox.options.error_on_missing_interpreters = False

# One more than there are cores: some tests wait for a deadline. Whoever is done takes over from the others.
WORKERS = ("-n", str((os.cpu_count() or 1) + 1), "--dist", "worksteal")

GROUPS = nox.project.load_toml("pyproject.toml")


@nox.session
def lint(session: nox.Session) -> None:
    """Format, lint, types and import floors."""
    session.install("-e", ".", *nox.project.dependency_groups(GROUPS, "dev"))
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests, on the tree."""
    session.install("-e", ".", *nox.project.dependency_groups(GROUPS, "test"))
    session.run("pytest", *WORKERS, *session.posargs)


@nox.session(python=["3.12", "3.13"])
def wheel(session: nox.Session) -> None:
    """The tests on the built wheel, but for those that start many processes: one Python shows what they show."""
    session.install("build", *nox.project.dependency_groups(GROUPS, "test"))
    out = Path(session.create_tmp()).resolve()
    for old in out.glob("*.whl"):
        old.unlink()
    session.run("python", "-m", "build", "--wheel", "--outdir", str(out), silent=True)
    session.install("--force-reinstall", "--no-deps", *map(str, out.glob("*.whl")))
    session.install(*map(str, out.glob("*.whl")))
    chosen = session.posargs or ["-m", "not live and not deep and not gateway and not process"]
    # To trace what is covered takes a third longer, and one Python shows it; what processes do is not traced.
    traced = ["--cov", "--cov-report=term"] if session.python == "3.12" and not session.posargs else []
    session.run("pytest", *WORKERS, *traced, *chosen)


@nox.session
def gateways(session: nox.Session) -> None:
    """The tests that talk to a real LiteLLM proxy, which has an environment of its own."""
    session.install("-e", ".", *nox.project.dependency_groups(GROUPS, "test"))
    python = _beside(session, "litellm", "litellm[proxy]>=1.106,<1.107")
    litellm = str(python.with_name("litellm"))
    session.run(
        "pytest", "-m", "gateway", "tests/test_litellm.py", *session.posargs, env={"RAPTCHAT_LITELLM": litellm}
    )


@nox.session(default=False)
def llama(session: nox.Session) -> None:
    """The tests that talk to a real llama.cpp server, whose build takes some minutes."""
    session.install("-e", ".", *nox.project.dependency_groups(GROUPS, "test"))
    python = _beside(session, "llama", "llama-cpp-python[server]>=0.3.16,<0.4", "gguf>=0.17,<1")
    session.run(
        "pytest",
        "-m",
        "gateway",
        "tests/test_llama_cpp.py",
        *session.posargs,
        env={"RAPTCHAT_LLAMA_CPP": str(python)},
    )


def _beside(session: nox.Session, name: str, *packages: str) -> Path:
    """The Python of an environment beside the session's own, with *packages*; it is kept like that."""
    folder = Path(session.virtualenv.location).resolve() / name
    python = folder / "bin" / "python"
    if not python.exists():
        session.run("python", "-m", "venv", str(folder))
    session.run(str(python), "-m", "pip", "install", "-q", *packages, external=True)
    return python


@nox.session(default=False)
def proof(session: nox.Session) -> None:
    """The proofs of SECURITY.md at their full counts, and their figures; goes on where the last run ended."""
    session.install("-e", ".", *nox.project.dependency_groups(GROUPS, "test"))
    # Figures are printed also of what failed; then `proof.py` fails.
    session.run("pytest", "-n", "auto", "-m", "deep and not gateway", "-q", *session.posargs, success_codes=(0, 1))
    session.run("python", "tests/proof.py")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """The benchmark: raptchat beside its peers and the limits; `-- --quick` takes two minutes."""
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Change the sealing, the vault, the sanitiser and the URL check in every small way: a test must notice."""
    session.install("-e", ".", "mutmut>=3.8,<4", *nox.project.dependency_groups(GROUPS, "test"))
    session.run("mutmut", "run", *session.posargs)
    session.run("mutmut", "results")
    if session.posargs or session.run("mutmut", "export-cicd-stats", silent=True) is None:
        return  # a part of them, or only installed
    found = json.loads(Path("mutants/mutmut-cicd-stats.json").read_text(encoding="utf-8"))
    noticed, of = found["killed"] + found["timeout"], found["total"]
    session.log(f"{noticed} of {of} mutants were noticed")
    if noticed < 0.9 * of:
        session.error("at least 90 of 100 must be")
