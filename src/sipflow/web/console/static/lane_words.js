// What the lanes of the axis show, in words: for who cannot see them, and for who wants to copy a time.
import { offset } from "./tracks.js";

// A forged call may press a key in every packet.
const MOST = 300;

export class LaneWords {
  #items = [];

  // `begin` is the time that the others are counted from.
  constructor(element, begin) {
    this.element = element;
    this.begin = begin;
    this.list = element.querySelector("ul");
  }

  // Adds stretches of time: [{from, until, text}]; without `until` it is a moment.
  add(items) {
    if (!items.length) return;
    this.#items = [...this.#items, ...items].sort((a, b) => a.from - b.from);
    const lines = this.#items.slice(0, MOST).map((each) => this.#line(each));
    if (this.#items.length > MOST) lines.push(`and ${this.#items.length - MOST} more`);
    this.list.replaceChildren(...lines.map((text) => {
      const line = document.createElement("li");
      line.textContent = text;
      return line;
    }));
    this.element.hidden = false;
  }

  #line({ from, until, text }) {
    const at = (us) => offset(us - this.begin, 1);
    return `${at(from)}${until === undefined ? "" : ` to ${at(until)}`} ${text}`;
  }
}
