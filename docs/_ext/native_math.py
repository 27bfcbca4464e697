"""Formulae as MathML, which browsers draw themselves: the built pages need no network and no script."""

import re
from html import escape

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)
SIZES = re.compile(r"\\([bB]igg?)(?![A-Za-z])")
"""Sizes of parentheses, which MathML chooses itself."""


def mathml(node, **settings):
    """Return the formula of ``node``; one that cannot be drawn is a warning, and stays as it was written."""
    source = node.astext()
    try:
        return tex2mathml(SIZES.sub("", source), **settings)
    except MathError as error:
        logger.warning("formula %r cannot be drawn: %s", source, error, location=node)
        return escape(source)


def visit_math(writer, node):
    """Write an inline formula."""
    writer.body.append(mathml(node))
    raise nodes.SkipNode  # its text is in the formula


def visit_displaymath(writer, node):
    """Write a formula of its own."""
    writer.body.append(f'<div class="formula">{mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    """Offer the renderer to Sphinx."""
    app.add_html_math_renderer("native", (visit_math, None), (visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
