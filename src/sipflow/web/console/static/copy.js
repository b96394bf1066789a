// Buttons that copy: a text of their own (data-copy, percent-encoded, so that it is harmless where it stands), or that of an element (data-copy-from).
const STANDS_MS = 1500;
// What a button is named while it tells what became of a copy, and the timer that gives it back.
const named = new WeakMap();

async function copy(button) {
  const { copy: own, copyFrom } = button.dataset;
  const text = own !== undefined ? decodeURIComponent(own) : document.getElementById(copyFrom)?.textContent ?? "";
  try {
    await navigator.clipboard.writeText(text);
    tell(button, "Copied");
  } catch {
    tell(button, "Not allowed"); // browsers copy only on https and localhost
  }
}

function tell(button, outcome) {
  const { name, timer } = named.get(button) ?? { name: button.textContent };
  clearTimeout(timer);
  button.textContent = outcome;
  named.set(button, {
    name,
    timer: setTimeout(() => {
      button.textContent = name;
      named.delete(button);
    }, STANDS_MS),
  });
}

addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-copy], [data-copy-from]");
  if (button) copy(button);
});
