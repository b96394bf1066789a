// The ladder: its messages as a list to walk, one of them current, one of them the last before the playhead.
import { written, zoneName } from "./zone.js";

export class Ladder {
  #playing = null;
  #current = null;

  constructor(element) {
    this.element = element;
    this.arrows = [...element.querySelectorAll("a[data-message]")];
    this.times = this.arrows.map((arrow) => Number(arrow.dataset.us));
    this.byNumber = new Map(this.arrows.map((arrow) => [Number(arrow.dataset.message), arrow]));
    this.onchoose = () => {};
    element.addEventListener("click", (event) => {
      const arrow = event.target.closest?.("a[data-message]");
      if (!arrow || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      this.onchoose(Number(arrow.dataset.message), Number(arrow.dataset.us));
    });
    this.#clocks();
    addEventListener("sipflow:zone", () => this.#clocks());
    addEventListener("sipflow:zone-name", () => this.#nameZone());
  }

  get current() {
    return this.#current === null ? null : Number(this.#current.dataset.message);
  }

  // Makes a message the current one, and scrolls to it unless it is the first thing to be seen anyway.
  mark(number, { focus = false, reveal = true } = {}) {
    this.#current?.classList.remove("current");
    this.#current?.removeAttribute("aria-current");
    this.#current = this.byNumber.get(number) ?? null;
    if (!this.#current) return;
    this.#current.classList.add("current");
    this.#current.setAttribute("aria-current", "true");
    if (focus) this.#current.focus({ preventScroll: true });
    if (reveal) this.#reveal(this.#current);
  }

  // Gives the message one step from the current one, or from the focused one: [number, time].
  beside(step) {
    const focused = document.activeElement?.closest?.("a[data-message]");
    const at = this.arrows.indexOf(this.arrows.includes(focused) ? focused : this.#current);
    const next = this.arrows[at < 0 ? (step > 0 ? 0 : this.arrows.length - 1) : at + step];
    return next ? [Number(next.dataset.message), Number(next.dataset.us)] : null;
  }

  // Highlights the last message before a time.
  play(us, follow) {
    let low = 0;
    let high = this.times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] <= us) low = middle + 1;
      else high = middle;
    }
    const arrow = this.arrows[low - 1] ?? null;
    if (arrow === this.#playing) return;
    this.#playing?.classList.remove("playing");
    this.#playing = arrow;
    arrow?.classList.add("playing");
    if (arrow && follow) this.#reveal(arrow);
  }

  // Gives when each message was, in the colour of its arrow as the theme has it now.
  ticks() {
    const colours = new Map();
    return this.arrows.map((arrow, n) => {
      const tone = arrow.classList[1];
      if (!colours.has(tone)) colours.set(tone, getComputedStyle(arrow).color);
      return { us: this.times[n], colour: colours.get(tone) };
    });
  }

  // Scrolls the ladder alone: the page stays where the reader put it.
  #reveal(arrow) {
    const box = this.element.getBoundingClientRect();
    const row = arrow.querySelector(".hit").getBoundingClientRect();
    if (row.top < box.top + 50) this.element.scrollTop -= box.top + 50 - row.top;
    else if (row.bottom > box.bottom - 30) this.element.scrollTop += row.bottom - box.bottom + 30;
  }

  #clocks() {
    for (const text of this.element.querySelectorAll("[data-clock]")) {
      text.textContent = written(Number(text.dataset.clock)).slice(11);
    }
    this.#nameZone();
  }

  #nameZone() {
    const label = this.element.querySelector("[data-zone-label]");
    if (label) label.textContent = zoneName();
  }
}
