// Keeps the parts of a page up to date: asks for them anew and replaces those that changed (elements with data-live).
import { localise } from "./zone.js";

const holder = document.querySelector("[data-live-from]");
const seen = new Map();

function busy(part) {
  // What is being read or used is not pulled away: lists wait while the pointer or the focus is in them.
  return part.contains(document.activeElement) || (part.hasAttribute("data-live-list") && part.matches(":hover"));
}

function apply(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const fresh = [...page.body.children];
  const names = (list) => list.map((part) => part.querySelector?.("[data-live]")?.dataset.live ?? part.dataset.live ?? "").join();
  if (names(fresh) !== names([...holder.children])) {
    holder.replaceChildren(...fresh);
    localise(holder);
    return;
  }
  for (const part of page.querySelectorAll("[data-live]")) {
    const name = part.dataset.live;
    const old = holder.querySelector(`[data-live="${CSS.escape(name)}"]`);
    if (!old || busy(old) || seen.get(name) === part.innerHTML) continue;
    seen.set(name, part.innerHTML);
    localise(part);
    old.replaceWith(part);
  }
}

async function ask() {
  if (document.hidden) return;
  try {
    const answer = await fetch(holder.dataset.liveFrom, { headers: { Accept: "text/html" } });
    if (answer.ok) apply(await answer.text());
    holder.toggleAttribute("data-stale", !answer.ok);
  } catch {
    holder.toggleAttribute("data-stale", true); // the server is away; the next turn asks again
  }
}

if (holder) {
  const every = Number(holder.dataset.liveEvery);
  const turn = async () => {
    await ask();
    setTimeout(turn, every);
  };
  setTimeout(turn, every);
}
