// The panel of messages: shows one at a time; those that did not come with the page are fetched when they are chosen.
import { localise } from "./zone.js";

export class Messages {
  #wanted = 0;

  constructor(element) {
    this.element = element;
  }

  async show(number) {
    this.#wanted = number;
    let shown = document.getElementById(`m${number}`);
    if (!shown) {
      const url = new URL(this.element.dataset.url, location.href);
      url.searchParams.set("n", String(number));
      const answer = await fetch(url).catch(() => null);
      if (this.#wanted !== number) return; // another was chosen meanwhile
      if (!answer?.ok) {
        this.#say(`Message ${number} could not be read${answer ? ` (${answer.status})` : ""}.`);
        return;
      }
      this.element.querySelectorAll("details.message").forEach((each) => each.remove());
      this.element.insertAdjacentHTML("afterbegin", await answer.text());
      shown = document.getElementById(`m${number}`);
      localise(this.element);
    }
    for (const each of this.element.querySelectorAll("details.message")) each.open = each.contains(shown);
    this.element.scrollTop = 0;
  }

  #say(text) {
    const hint = this.element.querySelector(".messages-hint");
    if (hint) hint.textContent = text;
  }
}
