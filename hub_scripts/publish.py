"""Publish a checkpoint to the Hub, private by default: python hub_scripts/publish.py OUT ME/NAME --licence mit

The same as `hf-unlab publish`; `--help` has all options.
"""

import typer

from hf_unlab.app.publishing import publish_command

if __name__ == "__main__":
    typer.run(publish_command)
