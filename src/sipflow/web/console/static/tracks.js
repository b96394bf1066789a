// What is drawn along the axis: one canvas for each row, in the colour its style gives it.
const FONT = "11px system-ui, sans-serif";
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];

export function offset(us, precision = 0) {
  const tenths = Math.round(Math.max(us, 0) / 10 ** (6 - precision));
  const whole = Math.floor(tenths / 10 ** precision);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  const rest = precision ? `.${String(tenths % 10 ** precision).padStart(precision, "0")}` : "";
  return `${h ? `${h}:${two(m)}` : m}:${two(s)}${rest}`;
}

export class Track {
  constructor(name, label, paint) {
    this.paint = paint;
    this.element = document.createElement("div");
    this.element.className = "axis-row";
    const title = document.createElement("span");
    title.textContent = label;
    this.canvas = document.createElement("canvas");
    this.canvas.className = `row-${name}`;
    this.element.append(title, this.canvas);
  }

  draw(axis) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    const ratio = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = pen.strokeStyle = getComputedStyle(this.canvas).color;
    pen.font = FONT;
    pen.globalAlpha = 1;
    this.paint(pen, axis, width, height);
  }
}

// The ruler: times since the beginning of the call, and a tick for each message.
export function ruler(messages) {
  return (pen, axis, width, height) => {
    const wanted = (axis.span / 1e6) * (84 / width);
    const step = STEPS.find((each) => each >= wanted) ?? Math.ceil(wanted / 7200) * 7200;
    for (let s = Math.ceil((axis.from - axis.all.from) / 1e6 / step) * step; ; s += step) {
      const us = axis.all.from + s * 1e6;
      if (us > axis.until) break;
      const x = axis.place(us) * width;
      pen.fillRect(x, 0, 1, 5);
      pen.fillText(offset(s * 1e6, step < 1 ? 1 : 0), Math.min(x + 3, width - 32), 11);
    }
    let last = -9;
    for (const message of messages()) {
      const x = axis.place(message.us) * width;
      if (x < -2 || x > width + 2 || x - last < 0.7) continue;
      last = x;
      pen.fillStyle = message.colour || pen.strokeStyle;
      pen.fillRect(x - 0.75, 18, 1.5, height - 18);
    }
  };
}

// A leg's outline, as fetched: `peaks` has it for a part of the recording.
export function wave(peaks, channel) {
  return (pen, axis, width, height) => {
    const middle = height / 2;
    pen.globalAlpha = 0.35;
    pen.fillRect(0, middle - 0.5, width, 1);
    pen.globalAlpha = 1;
    const found = peaks.value;
    const outline = found?.channels[channel];
    if (!outline) return;
    const count = outline.min.length;
    const length = (found.samples / found.rate) * 1e6;
    pen.beginPath();
    for (let x = 0; x < width; x += 1) {
      const first = Math.floor(((axis.time(x / width) - found.start_us) / length) * count);
      const behind = Math.ceil(((axis.time((x + 1) / width) - found.start_us) / length) * count);
      let low = 0;
      let high = 0;
      for (let n = Math.max(first, 0); n < Math.min(Math.max(behind, first + 1), count); n += 1) {
        low = Math.min(low, outline.min[n]);
        high = Math.max(high, outline.max[n]);
      }
      if (behind < 0 || first >= count) continue;
      const top = middle - (high / peaks.most) * (middle - 2);
      pen.rect(x, top, 1, Math.max(middle - (low / peaks.most) * (middle - 2) - top, 1));
    }
    pen.fill();
  };
}

// Stretches of time with words in them: keys, holds, codecs; items of different `row`s stand below each other.
export function spans(items, rows = 1) {
  return (pen, axis, width, whole) => {
    const height = whole / rows;
    const free = Array(rows).fill(-Infinity);
    for (const { from, until, text, row = 0 } of items) {
      const x = axis.place(from) * width;
      const end = axis.place(until) * width;
      if (end < 0 || x > width) continue;
      const top = row * height + 2;
      pen.globalAlpha = 0.2;
      pen.fillRect(x, top, Math.max(end - x, 3), height - 4);
      pen.globalAlpha = 1;
      pen.fillRect(x, top, 2, height - 4);
      const at = Math.max(x, 0) + 5;
      if (at < free[row]) continue;
      pen.fillText(text, at, top + height / 2 + 2);
      free[row] = at + pen.measureText(text).width + 6;
    }
  };
}

// Figures by second, several streams in one row: bars for loss, a line for jitter.
export function bySecond(series, { bars, least }) {
  let most = least;
  for (const { values } of series) for (const value of values) if (value > most) most = value;
  return (pen, axis, width, height) => {
    for (const { t0, values } of series) {
      pen.beginPath();
      const first = Math.max(0, Math.floor((axis.from - t0) / 1e6));
      const behind = Math.min(values.length, Math.ceil((axis.until - t0) / 1e6) + 1);
      const stride = Math.max(1, Math.floor((behind - first) / (width * 2)));
      let drawn = false;
      for (let n = first; n < behind; n += stride) {
        let value = 0;
        for (let k = n; k < Math.min(n + stride, behind); k += 1) value = Math.max(value, values[k] ?? 0);
        const x = axis.place(t0 + n * 1e6) * width;
        const tall = (value / most) * (height - 4);
        if (bars && value > 0) pen.rect(x, height - 1 - Math.max(tall, 2), Math.max((1e6 / axis.span) * width - 0.5, 1.5), Math.max(tall, 2));
        if (!bars) pen[drawn ? "lineTo" : "moveTo"](x, height - 2 - tall);
        drawn = true;
      }
      if (bars) pen.fill();
      else pen.stroke();
    }
  };
}
