// What every page does: the theme, the viewer's zone, the keys.
import { startKeys } from "./keys.js";
import { startTheme } from "./theme.js";
import { startZone } from "./zone.js";

document.documentElement.dataset.script = "";
startTheme();
startZone();
startKeys();
