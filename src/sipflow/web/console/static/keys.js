// Keys: / searches, j and k walk a list (elements with data-line), Enter opens, g and a letter goes to a page (links with
// data-go), ? tells.
import { toggleTheme } from "./theme.js";
import { toggleZone } from "./zone.js";

let going = false;

function typing(target) {
  return target.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
}

function walk(step) {
  const lines = [...document.querySelectorAll("[data-line]")].filter((line) => line.offsetParent !== null);
  if (!lines.length) return;
  const at = lines.findIndex((line) => line.contains(document.activeElement));
  const next = lines[at < 0 ? (step > 0 ? 0 : lines.length - 1) : Math.min(Math.max(at + step, 0), lines.length - 1)];
  const link = next.matches("a") ? next : next.querySelector("a");
  (link ?? next).focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

function search() {
  const boxes = [...document.querySelectorAll("[data-search]")].filter((box) => box.offsetParent !== null);
  const box = boxes.find((one) => one.closest("main")) ?? boxes[0];
  box?.focus();
  box?.select();
}

function help() {
  const dialog = document.getElementById("keys");
  if (dialog && !dialog.open) dialog.showModal();
}

const ACTIONS = { "/": search, j: () => walk(1), k: () => walk(-1), "?": help, t: toggleTheme, z: toggleZone };

export function startKeys() {
  document.querySelector("[data-help]")?.addEventListener("click", help);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (document.querySelector("dialog[open]")) return;
    if (going) document.querySelector(`[data-go="${CSS.escape(event.key)}"]`)?.click();
    going = event.key === "g";
    const action = ACTIONS[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
