// The last searches of this browser; each is an address of its own.
const KEY = "sipflow-searches";
const MOST = 12;

function stored() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
}

export function startRecent() {
  const place = document.querySelector("[data-recent]");
  if (!place) return;
  const input = document.getElementById("q");
  const now = input.hasAttribute("aria-invalid") ? "" : input.value.trim();
  const all = [...new Set([now, ...stored()])].filter(Boolean).slice(0, MOST);
  try {
    localStorage.setItem(KEY, JSON.stringify(all));
  } catch {
    // not allowed to keep anything
  }
  place.hidden = all.length === 0;
  place.querySelector("ul").replaceChildren(
    ...all.map((text) => {
      const link = document.createElement("a");
      const search = new URL(place.dataset.recent, location.href);
      search.searchParams.set("q", text);
      link.href = search.href;
      link.textContent = text;
      const line = document.createElement("li");
      line.append(link);
      return line;
    }),
  );
  const panels = document.querySelectorAll(".under details");
  for (const one of panels) {
    one.addEventListener("toggle", () => {
      if (one.open) for (const other of panels) if (other !== one) other.open = false;
    });
  }
}
