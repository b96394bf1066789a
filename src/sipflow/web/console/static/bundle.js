// A call in one file: choose an arrow, and its message opens and the sound seeks there; while it plays, the arrow that
// came last is framed.

const sound = document.querySelector("audio");
const start = sound ? Number(sound.dataset.start) : 0;
const messages = [...document.querySelectorAll("details[data-us]")];
const ladder = document.querySelector(".ladder");
const arrows = [...ladder.querySelectorAll("a[id]")];

function move(name, arrow) {
  ladder.querySelector("." + name)?.classList.remove(name);
  arrow?.classList.add(name);
}

function choose(arrow) {
  const message = document.getElementById("m" + arrow.id.slice(1));
  move("current", arrow);
  ladder.querySelector("[aria-current]")?.removeAttribute("aria-current");
  arrow.setAttribute("aria-current", "true");
  message.open = true;
  message.scrollIntoView({ block: "nearest" });
  if (sound) sound.currentTime = Math.max(0, (Number(message.dataset.us) - start) / 1e6);
}

ladder.addEventListener("click", (event) => {
  const arrow = event.target.closest("a[id]");
  if (!arrow || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  choose(arrow);
});

ladder.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const at = arrows.indexOf(document.activeElement);
  if (!step || at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const next = arrows[at + step];
  next?.focus();
  if (next) choose(next);
});

sound?.addEventListener("timeupdate", () => {
  const now = start + sound.currentTime * 1e6;
  const last = messages.findLast((message) => Number(message.dataset.us) <= now);
  move("playing", last && document.getElementById("a" + last.id.slice(1)));
});
