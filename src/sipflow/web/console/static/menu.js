// A menu (details.menu) closes by Escape, which gives the focus back to its button, and when something else is clicked or focused.
function open() {
  return document.querySelectorAll("details.menu[open]");
}

function closeUnless(target) {
  for (const menu of open()) menu.open = menu.contains(target);
}

export function startMenus() {
  addEventListener("pointerdown", (event) => closeUnless(event.target));
  addEventListener("focusin", (event) => closeUnless(event.target));
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    for (const menu of open()) {
      if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
      menu.open = false;
    }
  });
}
