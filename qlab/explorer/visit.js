// The visitor's browser: its history, its connection to the server, and its memory.

const ASK_MILLISECONDS = 30000 // so often the server is asked whether it still answers
const ANSWER_MILLISECONDS = 20000 // so long it may take
const TRY_MILLISECONDS = 2000 // so often a lost server is looked for
const LATE_MILLISECONDS = 3000 // so long a server that is there again may take for the answer it owes
const KEEP_MILLISECONDS = 500 // so long after the last change what is drawn no more is kept

function history_of(model) {
  const write = () => {
    const {search, replace} = model.entry
    if (!search || search === window.location.search) {
      return
    }
    const url = window.location.pathname + search + window.location.hash
    if (replace) {
      window.history.replaceState(null, "", url)
    } else {
      window.history.pushState(null, "", url)
    }
  }
  const tell = () => model.send_msg({search: window.location.search})
  model.on("entry", write)
  window.addEventListener("popstate", tell)
  write()
  return () => window.removeEventListener("popstate", tell)
}

function connection_of(model) {
  let lost = false
  let closed = false
  let answer = null
  const bar = document.createElement("div")
  bar.setAttribute("role", "alert")
  Object.assign(bar.style, {
    position: "fixed", top: "0", left: "0", right: "0", zIndex: "9999", padding: "10px 16px", minHeight: "44px",
    boxSizing: "border-box", background: "#8a3b00", color: "white", font: "15px system-ui, sans-serif",
  })
  const say = (text) => {
    bar.textContent = text
    if (!bar.isConnected) {
      document.body.append(bar) // over the title, which says nothing that is needed
    }
  }
  const look = async () => {
    if (!lost) {
      return
    }
    try {
      const found = await fetch(window.location.pathname, {method: "HEAD", cache: "no-store"})
      if (found.status < 500) {
        if (!closed) {
          await new Promise((done) => setTimeout(done, LATE_MILLISECONDS))
        }
        if (!lost) {
          return // it was only busy
        }
        say("The server answers again: this page is loaded anew.")
        window.location.reload()
        return
      }
    } catch {
      // still away
    }
    setTimeout(look, TRY_MILLISECONDS)
  }
  const lose = () => {
    if (lost) {
      return
    }
    lost = true
    say("Connection lost: the explorer's server does not answer. What is drawn stays; reconnecting as soon as it " +
      "is back. If it was ended: qlab explore")
    look()
  }
  const ask = () => {
    if (lost || answer !== null || document.visibilityState !== "visible") {
      return
    }
    answer = setTimeout(lose, ANSWER_MILLISECONDS)
    model.send_msg({alive: true})
  }
  const answered = () => {
    clearTimeout(answer)
    answer = null
    if (lost && !closed) {
      lost = false
      bar.remove()
    }
  }
  const back = (event) => event.persisted && window.location.reload()
  model.on("msg:custom", answered)
  for (const one of window.Bokeh.documents) {
    one.on_event("connection_lost", () => {
      closed = true
      lose()
    })
  }
  const timer = setInterval(ask, ASK_MILLISECONDS)
  document.addEventListener("visibilitychange", ask)
  window.addEventListener("online", ask)
  window.addEventListener("pageshow", back)
  return () => {
    clearInterval(timer)
    answered()
    document.removeEventListener("visibilitychange", ask)
    window.removeEventListener("online", ask)
    window.removeEventListener("pageshow", back)
  }
}

// Bokeh lets go of models that are drawn no more half a minute after the last change of anything. On a page that
// follows a running experiment, or whose sliders are dragged, changes come sooner, and every picture would be kept.
function limit_memory() {
  for (const one of window.Bokeh.documents) {
    one._recompute_timeout = KEEP_MILLISECONDS
  }
}

// The theme is the system's, until somebody chooses the other one.
function follow_theme() {
  const dark = window.matchMedia("(prefers-color-scheme: dark)")
  const follow = () => {
    for (const one of window.Bokeh.documents) {
      for (const root of one.roots()) {
        if (root.data && "dark_theme" in root.data.attributes) {
          root.data.dark_theme = dark.matches
        }
      }
    }
  }
  dark.addEventListener("change", follow)
  follow()
  return () => dark.removeEventListener("change", follow)
}

// Material's lists open where their whole field is clicked, which no key does.
function open_by_keys() {
  const keys = ["Enter", " ", "ArrowDown", "ArrowUp"]
  const open = (event) => {
    const at = event.composedPath()[0]
    if (!(at instanceof HTMLElement) || at.tagName === "INPUT" || at.getAttribute("role") !== "combobox") {
      return
    }
    if (keys.includes(event.key) && at.getAttribute("aria-expanded") !== "true") {
      event.preventDefault()
      at.click()
    }
  }
  document.addEventListener("keydown", open)
  return () => document.removeEventListener("keydown", open)
}

export function render({model}) {
  limit_memory()
  const ends = [history_of(model), connection_of(model), follow_theme(), open_by_keys()]
  model.on("remove", () => ends.forEach((end) => end()))
  const el = document.createElement("span")
  el.hidden = true
  return el
}
