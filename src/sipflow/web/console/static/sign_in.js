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

const { signIn, ask } = document.querySelector("[data-sign-in]").dataset;
if (location.pathname !== new URL(signIn, location.href).pathname && again()) {
  const answer = await fetch(ask, { headers: { Accept: "application/json" } });
  if (answer.ok) location.replace(location.href);
}
