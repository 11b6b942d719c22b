"""`mocoop-groups doctor`: what is installed and available."""

from __future__ import annotations

from dataclasses import asdict

import click

from mocoop import cli
from mocoop.grouping.commands.shared import json_option, print_json


@click.command()
@click.option("--base-url", help="Ask this server which models it has.")
@click.option("--ping", is_flag=True, help="Ask OpenAI's server, where --base-url names no other.")
@click.option("--key-env", metavar="NAME", help="The variable with the key; without it no key is sent.")
@json_option
def doctor(base_url: str | None, ping: bool, key_env: str | None, as_json: bool) -> int:
    """Say what is here to work with: packages, key, models, caches.

    Each is told with what it is needed for. A key is told by the name of its variable only. The network is used only
    with --base-url or --ping. The exit code is 1 where the server or key that was asked about does not serve.

    \b
    mocoop-groups doctor
    mocoop-groups doctor --base-url http://localhost:11434/v1
    """
    from mocoop.grouping.doctor import MISSING, examine
    from mocoop.grouping.llm.settings import resolve

    settings = resolve({"base_url": base_url, "key_env": key_env})
    checks = examine(server=settings if base_url or ping else None, key_env=settings.key_env)
    failed = [check.name for check in checks if check.needed and check.state == MISSING]
    if as_json:
        print_json(checks=[asdict(check) for check in checks])
    else:
        rows = [(check.name, check.state, check.found, check.serves, check.how) for check in checks]
        cli.show_table(("what", "state", "found", "needed for", "how to get it"), rows)
    return 1 if failed else 0
