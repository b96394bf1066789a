// The page of a call: ladder, message and sound move together, by click and by key.
import "./copy.js";
import { Ladder } from "./ladder.js";
import { startMenus } from "./menu.js";
import { Messages } from "./messages.js";
import { Player, STEP_S } from "./player.js";

const ladder = new Ladder(document.querySelector("[data-ladder]"));
const messages = new Messages(document.querySelector("[data-messages]"));
const player = new Player(document.querySelector("[data-player]"), () => ladder.ticks());

function choose(number, us, { seek = true, focus = false } = {}) {
  ladder.mark(number, { focus });
  messages.show(number);
  if (seek) player.seek(us);
  history.replaceState(null, "", `#m${number}`);
}

startMenus();
ladder.onchoose = choose;
player.onmove = (us) => ladder.play(us, player.playing);

addEventListener("click", (event) => {
  const link = event.target.closest?.("main a[data-message]");
  if (!link || ladder.element.contains(link) || event.ctrlKey || event.metaKey) return;
  const number = Number(link.dataset.message);
  const arrow = ladder.byNumber.get(number);
  if (!arrow) return;
  event.preventDefault();
  choose(number, Number(arrow.dataset.us));
  messages.element.scrollIntoView({ block: "nearest" });
});

const walk = (step) => {
  const next = ladder.beside(step);
  if (next) choose(...next, { focus: true });
};
const KEYS = {
  " ": () => player.toggle(),
  ArrowLeft: () => player.step(-STEP_S),
  ArrowRight: () => player.step(STEP_S),
  ArrowUp: () => walk(-1),
  ArrowDown: () => walk(1),
  "+": () => player.zoom("in"),
  "-": () => player.zoom("out"),
  0: () => player.zoom("all"),
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const focused = document.activeElement;
  // Controls keep their own keys; elsewhere they belong to the call.
  if (focused?.closest("input, select, textarea, button, summary, audio, dialog, .sip, pre, .scroll")) return;
  if (event.key === " " && focused?.matches("a") && !focused.matches("[data-message]")) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

for (const box of document.querySelectorAll("[data-ladder-options] input")) {
  box.addEventListener("change", () => box.form.requestSubmit());
}

const named = Number(/^#m(\d+)$/.exec(location.hash)?.[1] ?? 0);
const first = ladder.byNumber.get(named) ?? ladder.arrows[0];
if (first) {
  ladder.mark(Number(first.dataset.message), { reveal: named > 0 });
  messages.show(Number(first.dataset.message));
  // The address names a message: the page opens where it is.
  if (named) ladder.element.scrollIntoView({ block: "center" });
}
