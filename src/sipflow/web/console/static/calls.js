// The list of calls: suggestions, the picker of times, recent searches, the list as it grows.
import { startPicker } from "./picker.js";
import { startRecent } from "./recent.js";
import { startSuggestions } from "./suggest.js";
import { startTail } from "./tail.js";

startSuggestions();
startPicker();
startRecent();
startTail();
