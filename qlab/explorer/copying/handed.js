// What the visitor asked for: a file is saved at once, a text stands in a box to be copied or saved.

const STYLE = `
  section { border: 1px solid color-mix(in srgb, currentColor 35%, transparent); border-radius: 4px; padding: 8px 12px;
    margin: 4px 10px; font: 13px system-ui, sans-serif; }
  header { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; margin-bottom: 6px; }
  h3 { font-size: 14px; font-weight: 600; margin: 0 auto 0 0; overflow-wrap: anywhere; }
  textarea { width: 100%; box-sizing: border-box; resize: none; color: inherit; background: transparent;
    border: 1px solid color-mix(in srgb, currentColor 35%, transparent); border-radius: 4px; padding: 8px;
    font: 12px ui-monospace, "DejaVu Sans Mono", monospace; white-space: pre; overflow: auto; }
  button { font: inherit; color: inherit; background: transparent; border: 1px solid currentColor; border-radius: 4px;
    padding: 4px 12px; cursor: pointer; min-height: 28px; }
  button:focus-visible, textarea:focus-visible { outline: 3px solid currentColor; outline-offset: 1px; }
  p { margin: 6px 0 0; white-space: pre-wrap; overflow-wrap: anywhere; }
`

function save(parts, type, name) {
  const place = URL.createObjectURL(new Blob(parts, {type}))
  const link = document.createElement("a")
  link.href = place
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(place), 10000)
}

async function copy(area) {
  try {
    await navigator.clipboard.writeText(area.value)
    return true
  } catch { // without TLS, but on the server's own machine, browsers have no clipboard for scripts
    area.focus()
    area.select()
    return document.execCommand("copy")
  }
}

export function render({model}) {
  const el = document.createElement("div")

  const button = (words, press) => {
    const found = document.createElement("button")
    found.type = "button"
    found.textContent = words
    found.addEventListener("click", press)
    return found
  }

  const box = ({title, text, name, note}) => {
    const section = document.createElement("section")
    section.setAttribute("aria-label", title)
    const head = document.createElement("header")
    const words = document.createElement("h3")
    words.textContent = title
    const area = document.createElement("textarea")
    area.readOnly = true
    area.value = text
    area.rows = Math.min(22, text.split("\n").length + 1)
    area.spellcheck = false
    area.setAttribute("aria-label", title)
    const said = document.createElement("p")
    said.setAttribute("role", "status")
    said.textContent = note
    const take = button("Copy", async () => {
      said.textContent = await copy(area) ? "Copied." : "The browser does not copy: the text is selected, press Ctrl+C."
    })
    const close = button("Close", () => model.send_msg({closed: true}))
    const down = button(`Download ${name}`, () => save([area.value], "text/plain;charset=utf-8", name))
    head.append(words, ...(text ? [take, down] : []), close)
    section.append(head, ...(text ? [area] : []), said)
    section.addEventListener("keydown", (event) => event.key === "Escape" && model.send_msg({closed: true}))
    return [section, text ? take : close]
  }

  const show = () => {
    const given = model.given
    el.replaceChildren()
    if (given.data) {
      const letters = atob(given.data)
      save([Uint8Array.from(letters, (letter) => letter.charCodeAt(0))], given.type, given.name)
      model.send_msg({closed: true})
    } else if (given.title) {
      const style = document.createElement("style")
      style.textContent = STYLE
      const [section, first] = box(given)
      el.append(style, section)
      first.focus({preventScroll: true})
      section.scrollIntoView({block: "nearest"})
    }
  }
  model.on("given", show)
  show()
  return el
}
