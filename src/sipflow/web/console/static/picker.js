// Times are picked in the viewer's zone, or in UTC if that is shown, and sent in UTC, which stands beneath.
import { isUtc, zoneName } from "./zone.js";

const two = (number) => String(number).padStart(2, "0");

function local(date) {
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function utc(date) {
  return date.toISOString().slice(0, 19);
}

function moment(input) {
  if (!input.value) return null;
  const date = new Date(isUtc() ? `${input.value}Z` : input.value);
  return Number.isNaN(date.getTime()) ? null : date;
}

export function startPicker() {
  const fields = document.querySelector("[data-fields]");
  const pickers = [...document.querySelectorAll("[data-picker]")].map((label) => ({
    input: label.querySelector("input"),
    below: label.querySelector("[data-utc]"),
    date: label.dataset.picker ? new Date(Number(label.dataset.picker) / 1000) : null,
  }));
  const nameZone = () => {
    for (const name of document.querySelectorAll("[data-zone-name]")) name.textContent = zoneName();
  };
  const show = () => {
    nameZone();
    for (const { input, below, date } of pickers) {
      input.value = date ? (isUtc() ? utc(date) : local(date)) : "";
      below.textContent = date && !isUtc() ? `${utc(date).replace("T", " ")} UTC` : "";
    }
  };
  for (const picker of pickers) {
    picker.input.addEventListener("change", () => {
      picker.date = moment(picker.input);
      show();
    });
  }
  addEventListener("sipflow:zone", show);
  addEventListener("sipflow:zone-name", nameZone);
  fields?.addEventListener("submit", (event) => {
    event.preventDefault();
    const search = new URL(fields.action);
    const asked = search.searchParams;
    for (const [name, value] of new FormData(fields)) if (value) asked.set(name, value);
    for (const { input, date } of pickers) if (date) asked.set(input.name, `${utc(date)}Z`);
    location.assign(search);
  });
  show();
}
