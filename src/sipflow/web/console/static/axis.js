// The time axis of a call: which part of it is in view, and where a time stands. All times are microseconds.
const LEAST = 200_000;

export class Axis {
  constructor(from, until) {
    this.all = { from, until: Math.max(until, from + LEAST) };
    this.from = this.all.from;
    this.until = this.all.until;
  }

  get span() {
    return this.until - this.from;
  }

  // Where a time stands, 0 to 1; outside of the view it lies outside.
  place(us) {
    return (us - this.from) / this.span;
  }

  time(place) {
    return this.from + place * this.span;
  }

  // Shows `factor` times as much, the time under `place` staying where it is.
  zoom(factor, place = 0.5) {
    const centre = this.time(place);
    const span = Math.min(Math.max(this.span * factor, LEAST), this.all.until - this.all.from);
    this.#show(centre - span * place, span);
  }

  move(us) {
    this.#show(this.from + us, this.span);
  }

  // Moves the view, if need be, so that a time is in it.
  reveal(us) {
    if (us < this.from || us > this.until) this.#show(us - this.span * 0.1, this.span);
  }

  showAll() {
    this.#show(this.all.from, this.all.until - this.all.from);
  }

  #show(from, span) {
    this.from = Math.min(Math.max(from, this.all.from), this.all.until - span);
    this.until = this.from + span;
  }
}
