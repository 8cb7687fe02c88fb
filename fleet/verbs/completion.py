"""`rwctl completion`: prints what a shell must read to complete rwctl's commands."""

from __future__ import annotations

import os
from pathlib import PurePath

import click

from fleet import completing

EPILOG = """\b
Examples:
  source <(rwctl completion bash)                                          (for this shell; bash 4.4 or later)
  rwctl completion bash > ~/.local/share/bash-completion/completions/rwctl
  rwctl completion zsh  > ~/.zfunc/_rwctl                                  (with ~/.zfunc in fpath)
  rwctl completion fish > ~/.config/fish/completions/rwctl.fish

\b
Access points, places, tags and providers are completed from the city that --dir or $RWCTL_DIR names."""


@click.command("completion", epilog=EPILOG)
@click.argument("shell", type=click.Choice(completing.SHELLS), required=False)
@click.pass_context
def command(ctx: click.Context, shell: str | None) -> None:
    """Print the script that completes verbs, options, access points and places in your shell (default: that of $SHELL)."""
    shell = shell or PurePath(os.environ.get("SHELL", "")).name
    if shell not in completing.SHELLS:
        raise click.UsageError(f"$SHELL is {os.environ.get('SHELL', 'not set')}; say which: {', '.join(completing.SHELLS)}")
    click.echo(completing.script(ctx.find_root().command, shell))
