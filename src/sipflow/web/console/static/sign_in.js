// A link from another site arrives without the cookie, though the browser has it: ask for the page once more from here.
const KEY = "sipflow-asked-again";

function again() {
  try {
    const before = Number(sessionStorage.getItem(KEY) ?? 0);
    sessionStorage.setItem(KEY, String(Date.now()));
    return Date.now() - before > 10_000;
  } catch {
    return false; // without storage it might go on for ever
  }
}

if (location.pathname !== "/sign-in" && again()) {
  const answer = await fetch("/api/v1/now", { headers: { Accept: "application/json" } });
  if (answer.ok) location.replace(location.href);
}
