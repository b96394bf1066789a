// Times arrive in UTC with their microseconds; here they are shown in the viewer's zone, or in UTC if so chosen.
const KEY = "sipflow-zone";

function parts(date, utc) {
  const pick = (name) => (utc ? date[`getUTC${name}`]() : date[`get${name}`]());
  const two = (number) => String(number).padStart(2, "0");
  return {
    day: `${pick("FullYear")}-${two(pick("Month") + 1)}-${two(pick("Date"))}`,
    time: `${two(pick("Hours"))}:${two(pick("Minutes"))}:${two(pick("Seconds"))}`,
  };
}

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage is not allowed
  }
}

let utc = stored() === "utc";
// Of the viewer's zone, once the page stands: a browser takes tens of milliseconds to make its first format.
let name = "local";

export function isUtc() {
  return utc;
}

export function written(us, precision = 3) {
  const date = new Date(us / 1000);
  const { day, time } = parts(date, utc);
  const fraction = precision ? `.${String(Math.floor(us) % 1_000_000).padStart(6, "0").slice(0, precision)}` : "";
  return `${day} ${time}${fraction}`;
}

// Names the zone of the times that are shown; "sipflow:zone-name" tells that another name is known.
export function zoneName() {
  return utc ? "UTC" : name;
}

function learnName() {
  name = Intl.DateTimeFormat().resolvedOptions().timeZone || name;
  nameButtons();
  dispatchEvent(new CustomEvent("sipflow:zone-name"));
}

export function localise(root = document) {
  for (const element of root.querySelectorAll("time[data-us]")) {
    element.textContent = written(Number(element.dataset.us), Number(element.dataset.precision ?? 3));
  }
}

export function toggleZone() {
  utc = !utc;
  try {
    localStorage.setItem(KEY, utc ? "utc" : "local");
  } catch {
    // it lasts as long as the page, then
  }
  show();
  dispatchEvent(new CustomEvent("sipflow:zone", { detail: zoneName() }));
}

function nameButtons() {
  for (const button of document.querySelectorAll("[data-zone]")) {
    button.textContent = utc ? "UTC" : "Local";
    button.title = utc ? "Times are UTC; show those of your zone" : `Times are ${zoneName()}; show UTC`;
    button.setAttribute("aria-pressed", String(utc));
  }
}

function show() {
  localise();
  nameButtons();
}

export function startZone() {
  for (const button of document.querySelectorAll("[data-zone]")) button.addEventListener("click", toggleZone);
  show();
  addEventListener("load", () => (window.requestIdleCallback ?? setTimeout)(learnName));
}
