"""A directive that runs commands when the pages are built and shows what they print, so that it is always true."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

SECONDS = re.compile(r"after \d+ s")
folder = tempfile.TemporaryDirectory()


class Shell(SphinxDirective):
    """Run each line of the content in a folder that the whole documentation shares, and show line and output.

    A command that ends with another status than that of the option ``status`` (0) fails the build.
    """

    has_content = True
    option_spec = {"status": directives.nonnegative_int}  # noqa: RUF012 - as docutils has it

    def run(self):
        """Return the literal block."""
        text = []
        for command in self.content:
            text += [f"$ {command}", self._output(command)]
        shown = SECONDS.sub("after ... s", "\n".join(text).replace(folder.name, ".")).rstrip()
        block = nodes.literal_block(shown, shown)
        block["language"] = "console"
        return [block]

    def _output(self, command):
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        environment = os.environ | {"PATH": path, "COLUMNS": "100", "MPLBACKEND": "agg"}
        done = subprocess.run(
            command, shell=True, cwd=folder.name, env=environment, text=True, stdout=-1, stderr=subprocess.STDOUT
        )
        if done.returncode != self.options.get("status", 0):
            raise self.error(f"{command}: status {done.returncode}\n{done.stdout}")
        return done.stdout.rstrip() + "\n"


def setup(app):
    """Offer the directive to Sphinx."""
    app.add_directive("shell", Shell)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
