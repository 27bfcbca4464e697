"""Formulae as MathML, which browsers draw themselves: the built pages need no network and no script."""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml


def visit_math(writer, node):
    """Write an inline formula."""
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode  # its text is in the formula


def visit_displaymath(writer, node):
    """Write a formula of its own."""
    writer.body.append(f'<div class="formula">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    """Offer the renderer to Sphinx."""
    app.add_html_math_renderer("native", (visit_math, None), (visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
