// The list grows while it is looked at: new calls on top, changed ones where they stand. It waits while the pointer or
// the focus is in it, and shows then what came.
import { localise } from "./zone.js";

const ROWS_MAX = 200;
const KEY = "sipflow-tail";

export function startTail() {
  const button = document.querySelector("[data-tail]");
  const body = document.querySelector("[data-calls]");
  if (!button || !body) return;
  const label = button.querySelector("[data-tail-state]");
  const list = body.closest(".lines");
  const waiting = new Map();
  let source = null;

  const held = () => body.matches(":hover") || body.contains(document.activeElement);

  function place(line) {
    const template = document.createElement("template");
    template.innerHTML = line.html; // written by the server, escaped there
    const row = template.content.querySelector("tr");
    localise(row);
    const old = body.querySelector(`tr[data-call="${CSS.escape(line.call_id)}"]`);
    if (old) {
      if (old.innerHTML !== row.innerHTML) old.replaceWith(row);
      return;
    }
    const after = [...body.children].find((one) => Number(one.dataset.us) <= line.first_us);
    if (!after && body.children.length >= ROWS_MAX) return;
    row.dataset.fresh = "";
    body.insertBefore(row, after ?? null);
    body.closest("table").classList.remove("empty");
    document.querySelector(".nothing")?.remove();
    while (body.children.length > ROWS_MAX) body.lastElementChild.remove();
  }

  function flush() {
    if (held()) return show();
    for (const line of waiting.values()) place(line);
    waiting.clear();
    show();
  }

  function show() {
    const paused = source && held();
    button.setAttribute("aria-pressed", String(Boolean(source)));
    button.toggleAttribute("data-paused", Boolean(paused));
    const fresh = [...waiting.keys()].filter((id) => !body.querySelector(`tr[data-call="${CSS.escape(id)}"]`)).length;
    label.textContent = !source ? "Live: off" : paused ? `Paused${fresh ? `, ${fresh} new` : ""}` : "Live";
  }

  function start() {
    source = new EventSource(button.dataset.tail);
    source.addEventListener("call", (event) => {
      const line = JSON.parse(event.data);
      waiting.set(line.call_id, line);
      flush();
    });
    show();
  }

  function stop() {
    source?.close();
    source = null;
    show();
  }

  function keep(choice) {
    try {
      sessionStorage.setItem(KEY, choice);
    } catch {
      // it lasts as long as the page, then
    }
  }

  button.addEventListener("click", () => {
    if (source) stop();
    else start();
    keep(source ? "on" : "off");
  });
  for (const name of ["pointerleave", "pointerenter", "focusin", "focusout"]) {
    list.addEventListener(name, () => setTimeout(flush, 50));
  }
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => {
    if (event.persisted) start();
  });
  let before = null;
  try {
    before = sessionStorage.getItem(KEY);
  } catch {
    // nothing was kept
  }
  if (before === "off") show();
  else start();
}
