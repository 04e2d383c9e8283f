/** Longer than any timer may be: it never has to ring. */
const NEVER_MS = 2 ** 31 - 1;

/** Keeps the process alive while anybody is in: a process that reads goes on, as it does over every other broker. */
export class Alive {
  #count = 0;
  #timer: NodeJS.Timeout | undefined;

  enter(): void {
    this.#count++;
    this.#timer ??= setInterval(() => undefined, NEVER_MS);
  }

  leave(): void {
    this.#count--;
    if (this.#count > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
