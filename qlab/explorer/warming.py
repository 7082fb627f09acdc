"""What the first visitor would wait for is done while the browser still starts: imports, reading, a first drawing."""

from __future__ import annotations

import logging

_LOG = logging.getLogger(__name__)


def warm() -> None:
    """Imports the app, reads the runs that a visitor sees first, and draws a figure that nobody sees."""
    try:
        import holoviews as hv

        from qlab.errors import QlabError
        from qlab.explorer import design, drawing
        from qlab.explorer.app import shared
        from qlab.tracking.uri import resolve
    except Exception:  # whoever opens a page is told
        _LOG.debug("nothing is warmed", exc_info=True)
        return
    try:
        source, _ = shared(resolve(None))
        found = source.experiments()
        source.findings()
        if found:
            source.refresh(found[0])
    except QlabError:
        pass  # there is no store yet, or it cannot be read: pages say so
    drawing.rendered(hv.Curve([0.0, 1.0]) * hv.Scatter([0.0, 1.0]), design.HEIGHT)
