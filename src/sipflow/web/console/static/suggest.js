// Suggestions for the word under the caret: keys first, then values that the calls of the page have.
const keyed = /^(-?)([a-z_]+)([:<>])(.*)$/i;

function wordAt(input) {
  const caret = input.selectionStart ?? input.value.length;
  const before = input.value.slice(0, caret);
  const start = before.search(/(?:[^\s"]|"(?:[^"\\]|\\.)*"?)*$/);
  return { start, end: caret, text: before.slice(start) };
}

function options(list) {
  return [...(list?.options ?? [])].map((option) => option.value);
}

function quoted(value) {
  return /[\s"\\]/.test(value) ? `"${value.replace(/["\\]/g, "\\$&")}"` : value;
}

export function startSuggestions() {
  const input = document.getElementById("q");
  const box = document.getElementById("suggestions");
  if (!input || !box) return;
  const keys = options(document.getElementById("words"));
  input.removeAttribute("list");
  for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-controls": box.id, "aria-expanded": "false" })) {
    input.setAttribute(name, value);
  }
  let chosen = -1;

  function candidates(word) {
    const match = keyed.exec(word.text);
    if (!match) {
      const minus = word.text.startsWith("-") ? "-" : "";
      const begun = word.text.slice(minus.length).toLowerCase();
      return keys.filter((key) => key.startsWith(begun) && key !== begun).map((key) => minus + key);
    }
    const [, minus, key, sign, begun] = match;
    const values = options(document.querySelector(`datalist[data-values="${CSS.escape(key.toLowerCase())}"]`));
    const like = begun.replace(/^"/, "").toLowerCase();
    return values
      .filter((value) => value.toLowerCase().startsWith(like) && value.toLowerCase() !== like)
      .map((value) => `${minus}${key}${sign}${quoted(value)}`);
  }

  function close() {
    box.hidden = true;
    chosen = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function open() {
    const found = candidates(wordAt(input)).slice(0, 12);
    if (!found.length) return close();
    chosen = -1;
    box.replaceChildren(
      ...found.map((text, at) => {
        const line = document.createElement("li");
        line.id = `suggestion-${at}`;
        line.setAttribute("role", "option");
        line.setAttribute("aria-selected", "false");
        line.textContent = text;
        return line;
      }),
    );
    box.hidden = false;
    input.setAttribute("aria-expanded", "true");
  }

  function choose(at) {
    chosen = (at + box.children.length) % box.children.length;
    [...box.children].forEach((line, index) => line.setAttribute("aria-selected", String(index === chosen)));
    box.children[chosen].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", box.children[chosen].id);
  }

  function take(text) {
    const word = wordAt(input);
    const done = /[:<>]$/.test(text) ? text : `${text} `;
    input.setRangeText(done, word.start, word.end, "end");
    input.focus();
    open();
  }

  input.addEventListener("input", open);
  input.addEventListener("blur", () => setTimeout(close, 150));
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && box.hidden) return open();
    if (box.hidden) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      choose(event.key === "ArrowDown" ? chosen + 1 : Math.max(chosen, 0) - 1);
    } else if ((event.key === "Enter" || event.key === "Tab") && chosen >= 0) {
      event.preventDefault();
      take(box.children[chosen].textContent);
    } else if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      close();
    }
  });
  box.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    if (event.target.matches("li")) take(event.target.textContent);
  });
}
