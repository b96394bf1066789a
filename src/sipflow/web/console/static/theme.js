// Light or dark: what the system prefers, until the viewer chooses. The choice is a cookie, so that pages arrive in it.
const root = document.documentElement;

export function toggleTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.cookie = `sipflow-theme=${root.dataset.theme}; Path=/; Max-Age=31536000; SameSite=Lax`;
  dispatchEvent(new CustomEvent("sipflow:theme", { detail: root.dataset.theme }));
}

export function startTheme() {
  document.querySelector("[data-theme-toggle]")?.addEventListener("click", toggleTheme);
}
