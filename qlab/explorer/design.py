"""The look of all pages in one place: docs/explorer.md says what for."""

from __future__ import annotations

from typing import Any, Final

SPACE: Final = 8
"""Pixels between things that belong together; twice as much between others."""

SIDEBAR: Final = 264
"""Width of the side bar, pixels."""

CONTROL: Final = SIDEBAR - 2 * SPACE
"""Width of a control in it."""

FIELD: Final[dict[str, Any]] = {"width": CONTROL, "size": "small"}
"""Options of every control."""

NARROWEST: Final = 300
"""Width of a figure's panel, pixels: with less room there is one column less."""

SHARED: Final = f"max({NARROWEST}px, min(34%, {NARROWEST + 80}px))"
"""Width of a panel that may have something beside it: two in a row have room either way, three only on wide windows."""

ALONE: Final = 1100
"""A panel that stands alone is no wider."""

HEIGHT: Final = 380
"""Height of a panel."""

TITLE, SMALL = "14px", "12px"
"""Type in figures: titles; all else."""

THEME: Final[dict[str, Any]] = {
    "light": {"palette": {"primary": {"main": "#0B5C8E"}, "text": {"secondary": "rgba(0, 0, 0, 0.68)"}}},
    "dark": {"palette": {"primary": {"main": "#7CC0EA"}, "text": {"secondary": "rgba(255, 255, 255, 0.78)"}}},
}
"""Colours that differ between the themes; others are Material's."""

_COMMON: Final[dict[str, Any]] = {
    # The design's web font would come from a server elsewhere; the page asks nobody but its own.
    "typography": {"fontFamily": "system-ui, sans-serif", "fontSize": 13},
    "components": {
        "MuiToolbar": {"styleOverrides": {"root": {"minHeight": "44px !important"}}},
        "MuiAppBar": {"defaultProps": {"elevation": 0}},
        "MuiTab": {"styleOverrides": {"root": {"textTransform": "none", "minHeight": "40px"}}},
        "MuiTabs": {"styleOverrides": {"root": {"minHeight": "40px"}}},
        "MuiTypography": {"styleOverrides": {"h3": {"fontSize": "1.05rem"}}},
    },
}

NAVIGATION: Final[dict[str, Any]] = {
    "width": "100%",
    "& .MuiToggleButton-root": {
        "justifyContent": "flex-start",
        "textTransform": "none",
        "border": 0,
        "borderRadius": "6px !important",
        "padding": "4px 10px",
        "margin": "0 !important",
        "fontSize": "14px",
        "color": "text.primary",
    },
    "& .MuiToggleButton-root:focus-visible": {"outline": "3px solid currentColor", "outlineOffset": "-3px"},
}

TABLE: Final = """
:host .tabulator { font-size: 13px; }
:host .tabulator .tabulator-header .tabulator-col { font-weight: 600; }
:host .tabulator .tabulator-cell { padding: 5px 8px; height: auto; }
:host .tabulator-row.tabulator-selectable:focus-within { outline: 2px solid currentColor; outline-offset: -2px; }
"""
"""Of tables."""

BAR: Final = {"backgroundColor": "#0B4F7C", "color": "#FFFFFF", "backgroundImage": "none"}
"""The header, in both themes."""

PAGE: Final = {
    "& .MuiAppBar-root": BAR,
    # A progress bar without a name, and headings without words, that Material's page has.
    "& .MuiAppBar-root .MuiLinearProgress-root, & .MuiToolbar-root h5": {"display": "none"},
}
"""Of the whole page."""

NOTICE: Final = {
    "border-left": "4px solid #0B5C8E",
    "background": "rgba(11, 92, 142, 0.08)",
    "padding": f"{SPACE}px {2 * SPACE}px",
    "border-radius": "4px",
}
"""What a page lacks, or is still reading."""

ALERT: Final = {**NOTICE, "border-left": "4px solid #B3401A", "background": "rgba(179, 64, 26, 0.12)"}
"""What went wrong."""

GRID: Final = {"display": "grid", "gap": f"{SPACE}px {2 * SPACE}px"}
"""Panels side by side."""

BESIDE: Final = f"""
:host {{ display: grid; grid-template-columns: minmax(0, 1fr); gap: {SPACE}px {2 * SPACE}px; align-items: start; }}
@media (min-width: 1200px) {{
  :host(.beside) {{ grid-template-columns: minmax(0, 2fr) minmax({NARROWEST}px, 1fr); }}
  :host(.beside) > :nth-child(2) {{ position: sticky; top: {SPACE}px; }}
}}
"""
"""Of what is chosen on the left and looked at on the right, which stays in sight; below it where there is no room."""

WRAPPED: Final = {"flex-wrap": "wrap"}
"""Style of a row that goes on below where the window ends; Panel's FlexBox would evaluate text as a script."""


def themes() -> dict[str, Any]:
    """Material's configuration of both themes."""
    return {name: {**_COMMON, **own} for name, own in THEME.items()}


def columns(count: int, narrowest: str = f"{NARROWEST + 40}px") -> dict[str, str]:
    """Style of a grid of so many panels: as many in a row as there is room for.

    Args:
        count: of panels.
        narrowest: width of one, as CSS has it.
    """
    style = {**GRID, "grid-template-columns": f"repeat(auto-fit, minmax(min(100%, {narrowest}), 1fr))"}
    # Of a panel that stands alone the other columns would be kept free.
    return style if count > 1 else {**GRID, "grid-template-columns": "minmax(0, 1fr)", "max-width": f"{ALONE}px"}
