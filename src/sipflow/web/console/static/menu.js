// A menu (details.menu) closes by Escape, which gives the focus back to its button, and when something else was clicked.
function open() {
  return document.querySelectorAll("details.menu[open]");
}

export function startMenus() {
  // After the click, not before it: what stands below moves up.
  addEventListener("click", (event) => {
    for (const menu of open()) menu.open = menu.contains(event.target);
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    for (const menu of open()) {
      if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
      menu.open = false;
    }
  });
}
