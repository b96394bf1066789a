// The sound of a call on its time axis: outlines, keys, holds, codecs, loss, jitter, and the playhead over all of them.
import { Axis } from "./axis.js";
import { LaneWords } from "./lane_words.js";
import { Track, bySecond, offset, ruler, spans, wave } from "./tracks.js";

const STEP_S = 5;

async function json(url) {
  const answer = await fetch(url).catch(() => null);
  return answer?.ok ? answer.json() : null;
}

export class Player {
  #frame = 0;
  #asked = 0;
  #peaksAsked = 0;
  #peaksShown = 0;

  // `ticks` gives the messages as they are to be marked: [{us, colour}].
  constructor(element, ticks) {
    const { from, until, playable } = element.dataset;
    this.element = element;
    this.axis = new Axis(Number(from), Number(until));
    this.cursor = this.axis.from;
    this.audio = playable === "1" ? element.querySelector("[data-audio]") : null;
    this.start = null; // of the recording
    this.peaks = { value: null, most: 1 };
    this.board = element.querySelector("[data-axis]");
    this.readout = element.querySelector("[data-readout]");
    this.words = new LaneWords(element.querySelector("[data-lane-words]"), this.axis.from);
    this.playhead = document.createElement("div");
    this.playhead.className = "playhead";
    this.tracks = [new Track("ruler", "time", ruler(ticks))];
    this.onmove = () => {};
    this.#lay();
    this.#tell(this.cursor);
    this.#listen();
    this.#load();
    this.#prepare();
  }

  get playing() {
    return this.audio !== null && !this.audio.paused;
  }

  toggle() {
    if (!this.audio) return;
    if (this.audio.paused) this.audio.play().catch(() => {});
    else this.audio.pause();
  }

  // Puts the cursor to a time of the call, and the sound with it.
  seek(us) {
    this.cursor = Math.min(Math.max(us, this.axis.all.from), this.axis.all.until);
    if (this.audio && this.start !== null) {
      const seconds = Math.max((this.cursor - this.start) / 1e6, 0);
      this.audio.currentTime = Number.isFinite(this.audio.duration) ? Math.min(seconds, this.audio.duration) : seconds;
    }
    this.#moved();
  }

  step(seconds) {
    this.seek(this.cursor + seconds * 1e6);
  }

  zoom(how, place) {
    if (how === "all") this.axis.showAll();
    else this.axis.zoom(how === "in" ? 0.5 : 2, place ?? Math.min(Math.max(this.axis.place(this.cursor), 0), 1));
    this.draw();
    clearTimeout(this.#asked);
    this.#asked = setTimeout(() => this.#fetchPeaks(), 120);
  }

  draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => {
      for (const track of this.tracks) track.draw(this.axis);
      this.#place();
    });
  }

  #lay() {
    this.board.replaceChildren(...this.tracks.map((track) => track.element), this.playhead);
    this.draw();
  }

  #listen() {
    const { board, audio } = this;
    const place = (event) => {
      const box = this.tracks[0].canvas.getBoundingClientRect();
      return (event.clientX - box.left) / box.width;
    };
    board.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      board.setPointerCapture(event.pointerId);
      this.seek(this.axis.time(Math.max(place(event), 0)));
    });
    board.addEventListener("pointermove", (event) => {
      if (board.hasPointerCapture(event.pointerId)) this.seek(this.axis.time(Math.min(Math.max(place(event), 0), 1)));
      else this.#tell(this.axis.time(place(event)));
    });
    board.addEventListener("pointerleave", () => this.#tell(this.cursor));
    board.addEventListener("wheel", (event) => {
      if (event.ctrlKey) this.zoom(event.deltaY < 0 ? "in" : "out", place(event));
      else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.#pan(event.deltaX || event.deltaY);
      else return;
      event.preventDefault();
    }, { passive: false });
    for (const button of this.element.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => this.zoom(button.dataset.zoom));
    }
    new ResizeObserver(() => this.draw()).observe(board);
    addEventListener("sipflow:theme", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    if (!audio) return;
    const follow = () => {
      if (this.start !== null) this.cursor = this.start + audio.currentTime * 1e6;
      this.#moved();
      if (!audio.paused) requestAnimationFrame(follow);
    };
    audio.addEventListener("play", follow);
    audio.addEventListener("seeked", () => audio.paused && follow());
  }

  // Asks how long the sound is, which the server works out, only when the page stands.
  #prepare() {
    if (!this.audio) return;
    const ask = () => (this.audio.preload = "metadata");
    if (document.readyState === "complete") ask();
    else addEventListener("load", ask, { once: true });
  }

  #pan(pixels) {
    this.axis.move((pixels / this.tracks[0].canvas.clientWidth) * this.axis.span);
    this.draw();
    clearTimeout(this.#asked);
    this.#asked = setTimeout(() => this.#fetchPeaks(), 120);
  }

  async #load() {
    const { timeline, quality } = this.element.dataset;
    const events = await json(timeline);
    await this.#fetchPeaks();
    const legs = this.peaks.value?.channels.map((each) => (each.leg === 1 ? "callee" : "caller")) ?? [];
    legs.forEach((label, n) => this.tracks.push(new Track(`wave${n}`, label, wave(this.peaks, n))));
    if (events) this.#addEvents(events);
    this.#lay();
    const figures = await json(quality);
    if (figures?.streams?.length) this.#addFigures(figures.streams);
    this.#lay();
  }

  async #fetchPeaks() {
    if (!this.audio) return;
    const whole = this.start === null;
    const width = Math.min(Math.max(this.tracks[0].canvas.clientWidth, 300), 2000);
    const url = new URL(this.element.dataset.peaks, location.href);
    url.searchParams.set("width", String(width));
    if (!whole) {
      const begin = Math.max((this.axis.from - this.start) / 1e6, 0);
      const end = (this.axis.until - this.start) / 1e6;
      if (end <= 0 || begin >= this.length) return;
      url.searchParams.set("start", begin.toFixed(3));
      url.searchParams.set("end", Math.max(end, begin + 0.05).toFixed(3));
    }
    const asked = (this.#peaksAsked += 1);
    const found = await json(url);
    if (!found || asked < this.#peaksShown) return; // those of a later view came before
    this.#peaksShown = asked;
    if (whole) {
      this.start = found.start_us;
      this.length = found.samples / found.rate;
      if (this.cursor !== this.axis.all.from) this.seek(this.cursor); // chosen before it was known where the sound begins
      let most = 1500; // below it a recording is as good as silent, and is drawn so
      for (const { min, max } of found.channels) for (let n = 0; n < max.length; n += 1) most = Math.max(most, max[n], -min[n]);
      this.peaks.most = most;
    }
    this.peaks.value = found;
    this.draw();
  }

  #addEvents({ digits, holds, streams }) {
    const add = (name, label, items, rows) => {
      if (!items.length) return;
      this.tracks.push(new Track(name, label, spans(items, rows)));
      this.words.add(items.map(({ from, until, text, row }) => ({
        from, until, text: `${label} ${text}${row === undefined ? "" : row ? ", from the callee" : ", from the caller"}`,
      })));
    };
    add("keys", "key", digits.map((each) => ({
      from: each.time_us, until: each.time_us + (each.duration_ms ?? 100) * 1000, text: each.symbol,
    })));
    add("holds", "hold", holds.map((each) => ({
      from: each.from_us, until: each.to_us, text: each.by_caller ? "by the caller" : "by the called side",
    })));
    const codecs = streams.flatMap((stream) => stream.codecs.map((each, n) => ({
      from: each.from_us, until: stream.codecs[n + 1]?.from_us ?? stream.last_us, text: each.codec, row: stream.leg % 2,
    })));
    add("codecs", "codec", codecs.sort((a, b) => a.from - b.from), 2);
  }

  #addFigures(streams) {
    const pick = (name) => streams.filter((each) => each.seconds?.[name]?.length).map((each) => ({
      t0: each.seconds.t0_us, values: each.seconds[name],
    }));
    const [lost, jitter] = [pick("lost"), pick("jitter_ms")];
    this.words.add(lost.flatMap(({ t0, values }) => values.flatMap((value, n) => (
      value ? [{ from: t0 + n * 1e6, text: `${value} packet${value === 1 ? "" : "s"} lost in a second` }] : []
    ))));
    this.words.add(jitter.map(({ t0, values }) => {
      const most = values.reduce((best, value, n) => (value > (values[best] ?? -1) ? n : best), 0);
      return { from: t0 + most * 1e6, text: `jitter at its most, ${(values[most] ?? 0).toFixed(1)} ms` };
    }));
    if (lost.length) this.tracks.push(new Track("loss", "loss/s", bySecond(lost, { bars: true, least: 5 })));
    if (jitter.length) this.tracks.push(new Track("jitter", "jitter", bySecond(jitter, { bars: false, least: 10 })));
    this.figures = { lost, jitter };
  }

  #moved() {
    const before = this.axis.from;
    this.axis.reveal(this.cursor);
    if (this.axis.from !== before) this.#pan(0);
    this.#place();
    this.#tell(this.cursor);
    const seconds = (this.cursor - this.axis.all.from) / 1e6;
    this.board.setAttribute("aria-valuenow", seconds.toFixed(1));
    this.board.setAttribute("aria-valuetext", offset(seconds * 1e6, 1));
    this.onmove(this.cursor);
  }

  #place() {
    const { offsetLeft, clientWidth } = this.tracks[0].canvas;
    const place = this.axis.place(this.cursor);
    this.playhead.hidden = place < 0 || place > 1;
    this.playhead.style.transform = `translateX(${offsetLeft + place * clientWidth}px)`;
  }

  #tell(us) {
    const words = [offset(us - this.axis.all.from, 2)];
    const at = (series) => series.map(({ t0, values }) => values[Math.floor((us - t0) / 1e6)] ?? 0);
    if (this.figures?.lost.length) words.push(`lost ${at(this.figures.lost).reduce((a, b) => a + b, 0)} packets`);
    if (this.figures?.jitter.length) words.push(`jitter ${Math.max(...at(this.figures.jitter)).toFixed(1)} ms`);
    this.readout.textContent = words.join(" · ");
  }
}

export { STEP_S };
